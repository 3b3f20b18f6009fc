//! What was protected last, on disk: interfaces and local lists, no secrets. One daemon at a time writes it: what another one
//! protects, in another network namespace, is not what this one should close.

use crate::clock;
use crate::config::InterfacePattern;
use crate::state::{replace, NotOwned, Ownership};
use gdoi::policy::Selector;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The largest file that is read, in octets: 42 planes with a thousand entries each.
const MAX_FILE: u64 = 8 << 20;

/// Who owns the directory.
const TRADE: &str = "gdoi-gm";

/// Where it is stored.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// What is there, as far as this process knows.
    last: Option<Stored>,
    /// None before a daemon begins, and while another one has it.
    ownership: Option<Ownership>,
}

/// What was protected last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Of the daemon that protected it.
    pub control_socket: PathBuf,
    /// In which boot: links are known by their index, which another boot gives to others.
    boot: [u8; 16],
    planes: Vec<StoredPlane>,
}

/// One group on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPlane {
    /// The group.
    pub group: String,
    /// The interface as the configuration has it.
    #[serde(with = "as_text")]
    pub interface: InterfacePattern,
    /// The local list.
    #[serde(with = "as_texts")]
    pub clear: Vec<Selector>,
    /// Whether nothing passes before the registration.
    pub fail_close: bool,
    /// Its place in the kernel; None in what an earlier version stored.
    #[serde(default)]
    pub slot: Option<u8>,
    /// The links that are protected, by index, whatever they are called.
    pub links: Vec<u32>,
}

impl Stored {
    /// What is protected now.
    pub fn of(control_socket: &Path, planes: Vec<StoredPlane>) -> Self {
        Stored { control_socket: control_socket.to_owned(), boot: boot(), planes }
    }

    /// What was protected, with the links as far as they can be the same.
    pub fn planes_of_this_boot(&self) -> Vec<StoredPlane> {
        let mut planes = self.planes.clone();
        if self.boot != boot() || self.boot == [0; 16] {
            planes.iter_mut().for_each(|plane| plane.links.clear());
        }
        planes
    }
}

fn boot() -> [u8; 16] {
    clock::moment(clock::now()).boot
}

impl Store {
    /// In this directory, which is made when something is stored.
    pub fn in_directory(directory: &Path) -> Self {
        Store { directory: directory.to_owned(), last: None, ownership: None }
    }

    /// What was stored last; None if nothing was.
    ///
    /// # Errors
    /// It cannot be read or is damaged; the reason names the file.
    pub fn read(&self) -> Result<Option<Stored>, String> {
        let refuse = |reason: &dyn Display| format!("{}: {reason}", self.path().display());
        let mut text = Vec::new();
        match File::open(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(&error)),
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut text).map_err(|error| refuse(&error))?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| refuse(&error))
    }

    /// Takes the directory for a daemon that begins. What was stored last, if it is its own.
    pub fn inherit(&mut self) -> Option<Stored> {
        match Ownership::take(&self.directory, TRADE) {
            Ok(ownership) => self.ownership = Some(ownership),
            Err(NotOwned::Taken(_)) => return None,
            // It may be readable all the same; what cannot be written is told when it is to be.
            Err(NotOwned::Failed(_)) => {}
        }
        // Who closed the interfaces has told why it cannot be read.
        self.read().unwrap_or_default()
    }

    /// Stores what is protected now, unless that is known to be there.
    ///
    /// # Errors
    /// The disk does not take it, or another daemon has the directory; the reason names it.
    pub fn write(&mut self, stored: Stored) -> Result<(), String> {
        if self.last.as_ref() == Some(&stored) {
            return Ok(());
        }
        self.own().map_err(|reason| reason.to_string())?;
        let text = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
        let written = replace(&self.path(), &text);
        written.map_err(|error| format!("{}: {error}", self.path().display()))?;
        self.last = Some(stored);
        Ok(())
    }

    fn own(&mut self) -> Result<(), NotOwned> {
        if let Some(ownership) = &mut self.ownership {
            if ownership.confirm().is_ok() {
                return Ok(());
            }
        }
        self.ownership = None;
        self.ownership = Some(Ownership::take_at_once(&self.directory, TRADE)?);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join("protected")
    }
}

mod as_text {
    use super::*;

    pub fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

mod as_texts {
    use super::*;

    pub fn serialize<S: Serializer>(values: &[Selector], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Selector>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let parsed = texts.iter().map(|text| text.parse());
        parsed.collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Two daemons in two network namespaces, by the same files.
    #[test]
    fn what_another_daemon_protects_is_neither_read_nor_replaced() {
        let directory = std::env::temp_dir().join(format!("gdoi-protected-two-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let [mut first, mut second] = [(); 2].map(|()| Store::in_directory(&directory));
        let [one, other] =
            ["/run/1.sock", "/run/2.sock"].map(|socket| Stored::of(socket.as_ref(), Vec::new()));
        assert_eq!(first.inherit(), None);
        first.write(one.clone()).unwrap();
        assert_eq!(second.inherit(), None);
        let refused = second.write(other.clone()).unwrap_err();
        assert!(refused.contains("another gdoi-gm uses it"), "{refused}");
        assert_eq!(second.read(), Ok(Some(one.clone())), "as one that only looks");
        drop(first);
        assert_eq!(Store::in_directory(&directory).inherit(), Some(one));
        second.write(other.clone()).unwrap();
        assert_eq!(second.read(), Ok(Some(other)));
        let _ = fs::remove_dir_all(&directory);
    }

    #[test]
    fn what_is_stored_is_read_again_and_links_only_in_the_same_boot() {
        let directory = std::env::temp_dir().join(format!("gdoi-protected-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let mut store = Store::in_directory(&directory.join("deep"));
        assert_eq!(store.read(), Ok(None));
        let plane = StoredPlane {
            group: "corp".into(),
            interface: "ppp*".parse().unwrap(),
            clear: ["tcp any any eq 179", "ospf any any", "udp any6 eq 547 host fe80::1"]
                .map(|text| text.parse().unwrap())
                .into(),
            fail_close: true,
            slot: Some(7),
            links: vec![3, 4],
        };
        let stored = Stored::of("/run/x.sock".as_ref(), vec![plane.clone()]);
        store.write(stored.clone()).unwrap();
        assert_eq!(store.read(), Ok(Some(stored.clone())));
        assert_eq!(stored.planes_of_this_boot(), std::slice::from_ref(&plane));
        let other = Stored { boot: [1; 16], ..stored };
        assert_eq!(other.planes_of_this_boot(), [StoredPlane { links: Vec::new(), ..plane }]);
        fs::write(store.path(), "{").unwrap();
        assert!(store.read().unwrap_err().contains("deep/protected: "));
        let _ = fs::remove_dir_all(&directory);
    }
}
