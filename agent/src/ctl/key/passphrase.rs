//! Passphrases: from a file or from the terminal, never from the command line or the environment, which others can see.

use gdoi::crypto::Secret;
use nix::sys::termios::{tcgetattr, tcsetattr, LocalFlags, SetArg, Termios};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The shortest passphrase for a new file, in characters.
const SHORTEST: usize = 12;

/// The longest, in octets.
const LONGEST: usize = 1_024;

/// A passphrase for a new file: the one in `file`, or one that is asked for twice.
///
/// # Errors
/// It cannot be read, is too short, or was not typed alike.
pub fn new(file: Option<&Path>) -> Result<Secret, String> {
    let passphrase = match file {
        Some(file) => read(file)?,
        None => ask_twice(&mut terminal()?)?,
    };
    long_enough(passphrase)
}

/// The passphrase of a file that exists: the one in `file`, or one that is asked for.
///
/// # Errors
/// It cannot be read.
pub fn known(file: Option<&Path>) -> Result<Secret, String> {
    match file {
        Some(file) => read(file),
        None => ask(&mut terminal()?, "Passphrase: "),
    }
}

fn long_enough(passphrase: Secret) -> Result<Secret, String> {
    let characters = std::str::from_utf8(passphrase.expose()).map_or(0, |text| text.chars().count());
    match characters >= SHORTEST {
        true => Ok(passphrase),
        false => Err(format!("the passphrase needs at least {SHORTEST} characters")),
    }
}

/// One line end after it is not part of it.
fn read(path: &Path) -> Result<Secret, String> {
    let refuse = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let file = File::open(path).map_err(|error| refuse(&error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o004 != 0) {
        eprintln!("warning: {}: everybody on this host can read it", path.display());
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    file.take(LONGEST as u64 + 2).read_to_end(&mut octets).map_err(|error| refuse(&error))?;
    usable(&octets).map_err(|reason| refuse(&reason))
}

fn usable(line: &[u8]) -> Result<Secret, String> {
    let passphrase = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(passphrase).map_err(|_| "the passphrase is not UTF-8 text")?;
    match passphrase.len() {
        0 => Err("there is no passphrase".into()),
        1..=LONGEST if text.chars().any(char::is_control) => {
            Err("the passphrase is not one line of printable characters".into())
        }
        1..=LONGEST => Ok(Secret::from(passphrase)),
        _ => Err(format!("the passphrase is longer than {LONGEST} octets")),
    }
}

fn terminal() -> Result<File, String> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    opened.map_err(|error| format!("no terminal to ask for the passphrase ({error}): use --passphrase-file"))
}

fn ask_twice(terminal: &mut File) -> Result<Secret, String> {
    let prompt = format!("New passphrase, at least {SHORTEST} characters: ");
    let first = long_enough(ask(terminal, &prompt)?)?;
    match ask(terminal, "The same once more: ")? == first {
        true => Ok(first),
        false => Err("the two passphrases differ".into()),
    }
}

fn ask(terminal: &mut File, prompt: &str) -> Result<Secret, String> {
    let line = {
        let hidden = Hidden::begin(terminal).map_err(|error| error.to_string())?;
        read_line(hidden.terminal, prompt)
    };
    usable(&line.map_err(|error| error.to_string())?)
}

/// The terminal gives out one line at a time, with its end.
fn read_line(terminal: &File, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut terminal = terminal;
    terminal.write_all(prompt.as_bytes())?;
    let mut line = Zeroizing::new(vec![0; LONGEST + 2]);
    let length = terminal.read(&mut line)?;
    line.truncate(length);
    Ok(line)
}

/// A terminal that does not show what is typed.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    /// Without signals from the keyboard as well: the program would leave the terminal mute behind. What was typed before is
    /// forgotten.
    fn begin(terminal: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        hidden.local_flags.insert(LocalFlags::ECHONL | LocalFlags::ICANON);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &hidden)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    /// What was typed too much is forgotten: the shell would take it for a command.
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use std::thread;

    /// What `ask_twice` makes of these lines, each typed when it is asked for; and all that the terminal showed.
    fn typed(lines: [&'static str; 2]) -> (Result<Secret, String>, String) {
        let pair = openpty(None, None).unwrap();
        let (mut keyboard, mut terminal) = (File::from(pair.master), File::from(pair.slave));
        let before = tcgetattr(&terminal).unwrap();
        let person = thread::spawn(move || {
            let mut shown = String::new();
            for line in lines {
                while !shown.ends_with(": ") {
                    let mut buffer = [0; 100];
                    match keyboard.read(&mut buffer) {
                        Ok(length) => shown += std::str::from_utf8(&buffer[..length]).unwrap(),
                        Err(_) => return shown,
                    }
                }
                shown += "\n";
                keyboard.write_all(line.as_bytes()).unwrap();
            }
            // The end of the terminal is an error.
            let mut rest = Vec::new();
            let _ = keyboard.read_to_end(&mut rest);
            shown + std::str::from_utf8(&rest).unwrap()
        });
        let asked = ask_twice(&mut terminal);
        assert_eq!(tcgetattr(&terminal).unwrap().local_flags, before.local_flags);
        drop(terminal);
        (asked, person.join().unwrap())
    }

    #[test]
    fn what_is_typed_is_taken_and_not_shown() {
        let (asked, shown) = typed(["correct horse\n", "correct horse\n"]);
        assert_eq!(asked.unwrap().expose(), b"correct horse");
        assert!(shown.contains("at least 12 characters: ") && shown.contains("once more: "), "{shown}");
        assert!(!shown.contains("horse"), "{shown}");
    }

    #[test]
    fn what_is_typed_must_be_long_alike_and_text() {
        for (lines, reason) in [
            (["correct horse\n", "correct house\n"], "the two passphrases differ"),
            (["too short\n", ""], "at least 12 characters"),
            (["\n", ""], "there is no passphrase"),
            (["interrupted\u{3}\n", ""], "not one line of printable characters"),
        ] {
            let (asked, _) = typed(lines);
            let refused = asked.map(drop).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn a_file_has_one_line() {
        let path = std::env::temp_dir().join(format!("gdoi-passphrase-{}", std::process::id()));
        let in_file = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            (new(Some(&path)), known(Some(&path)))
        };
        for text in ["correct horse", "correct horse\n", "pferdestärken"] {
            let (new, known) = in_file(text.as_bytes());
            assert_eq!(new.unwrap().expose(), text.trim_end().as_bytes());
            assert_eq!(known.unwrap().expose(), text.trim_end().as_bytes());
        }
        let (new, known) = in_file("kurzäääää".as_bytes());
        assert!(new.unwrap_err().contains("at least 12 characters"), "they are counted, not their octets");
        assert_eq!(known.unwrap().expose(), "kurzäääää".as_bytes(), "others may have made the file");
        let long = "x".repeat(LONGEST);
        assert!(in_file(long.as_bytes()).0.is_ok());
        for (text, reason) in [
            (&b""[..], "there is no passphrase"),
            (b"two lines\nof text", "not one line of printable"),
            (b"\xff\xfe no text at all", "not UTF-8"),
            (format!("{long}y").as_bytes(), "longer than 1024"),
            (format!("{long}yyy").as_bytes(), "longer than 1024"),
        ] {
            let refused = in_file(text).0.map(drop).unwrap_err();
            assert!(
                refused.starts_with(&path.display().to_string()) && refused.contains(reason),
                "{refused}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(known_missing(&path).contains("No such file"));
    }

    fn known_missing(path: &Path) -> String {
        known(Some(path)).map(drop).unwrap_err()
    }
}
