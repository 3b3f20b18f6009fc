use super::*;
use gdoi::crypto::sign::NewKey;
use gdoi::crypto::Secret;
use gdoi::phase1::Credential;
use gdoi::policy::{Doi, Identity, Proposal};
use gdoi::{Retransmit, Transport};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

mod access;
mod authorization;
mod examples;
mod files;
mod ipv6;
mod redundancy;
mod refusals;
mod rekey;
mod words;

const MEMBER: &str = r#"groups:
  - name: corp
    identity-number: 100
    servers: [192.0.2.10, {address: 192.0.2.11, port: 1848}]
    interfaces: [wan0]
    pre-shared-key: "only for tests"
"#;

const SERVER: &str = r#"address: 192.0.2.10
pre-shared-keys:
  - {address: 198.51.100.0/24, key: "only for tests"}
groups:
  - name: corp
    identity-number: 100
    server-local:
      sa-ipsec:
        lifetime: 3600
        match-address:
          - permit ip 10.0.0.0/8 10.0.0.0/8
"#;

fn member(text: &str) -> Result<MemberSettings, String> {
    ready::<MemberFile>("gm.yaml", text)
}

fn server(text: &str) -> Result<KeyServerSettings, String> {
    ready::<KeyServerFile>("ks.yaml", text)
}

fn ready<F: Settings>(name: &str, text: &str) -> Result<F::Ready, String> {
    let mut source = Source::from_text(Path::new(name), text);
    let file: F = source.parse().map_err(|error| error.to_string())?;
    file.settle(&mut source).map_err(|error| error.to_string())
}

/// A directory of its own under the system's for temporary files, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gdoi-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A directory with a key server's file whose group has this `rekey`, and a signing key.
fn rekeying(name: &str, rekey: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(name);
    let key = NewKey::EcdsaP256.generate_pem().unwrap();
    scratch.write("rekey.pem", std::str::from_utf8(key.expose()).unwrap(), 0o600);
    let text = SERVER.replace(
        "    server-local:\n",
        &format!("    server-local:\n      rekey: {{authentication: rekey.pem{rekey}}}\n"),
    );
    let path = scratch.write("ks.yaml", &text, 0o600);
    (scratch, path)
}

#[test]
fn a_short_member_file_gets_the_defaults() {
    let settings = member(MEMBER).unwrap();
    assert_eq!((settings.port, settings.control_socket), (848, PathBuf::from("/run/gdoi/gm.sock")));
    assert_eq!(settings.anchors, xfrm::Anchors::SpecialPurpose);
    let (group, credential) = &settings.groups[0];
    assert_eq!(group.group.to_string(), "corp (100)");
    assert_eq!(
        group.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.10:848", "192.0.2.11:1848"]
    );
    assert_eq!((group.fail, group.doi, group.proposal), (FailMode::Close, Doi::Gdoi, Proposal::default()));
    assert_eq!((&group.identity, group.local_address, group.clear.len()), (&None, None, 0));
    assert_eq!((group.reception, group.mss), (Reception::Strict, MssClamp::Off));
    assert_eq!(*credential, pre_shared_key(b"only for tests"));
}

fn pre_shared_key(key: &[u8]) -> Credential {
    Credential::PreSharedKey(Secret::from(key))
}

#[test]
fn a_full_member_file_is_understood() {
    let text = format!(
        "{MEMBER}{}",
        r#"    local-address: 198.51.100.1
    identity: {fqdn: gm1.example}
    match-address: ["deny tcp any any eq 179", "deny ospf any any"]
    fail-close: false
    passive: true
    mss-clamp: auto
    phase1: {encryption: aes-128-cbc, hash: sha-384, group: 14, lifetime: 3600, doi: 1}
control-socket: /tmp/gm.sock
port: 8848
anchors: as112
"#
    );
    let settings = member(&text).unwrap();
    assert_eq!((settings.port, settings.control_socket), (8848, PathBuf::from("/tmp/gm.sock")));
    assert_eq!(settings.anchors, xfrm::Anchors::As112);
    let (group, _) = &settings.groups[0];
    assert_eq!((group.fail, group.doi, group.clear.len()), (FailMode::Open, Doi::Ipsec, 2));
    assert_eq!((group.reception, group.mss), (Reception::AcceptClear, MssClamp::Auto));
    let fixed = member(&text.replace("mss-clamp: auto", "mss-clamp: 1360")).unwrap();
    assert_eq!(fixed.groups[0].0.mss, MssClamp::Fixed(1360));
    assert_eq!(group.identity, Some(Identity::Fqdn("gm1.example".into())));
    assert_eq!(group.proposal.to_string(), "aes-128-cbc, sha-384, group 14");
    assert_eq!(group.proposal.lifetime, Duration::from_secs(3600));
    assert_eq!(group.servers[0].port(), 8848, "the file's port is the servers' default");
}

#[test]
fn a_short_server_file_gets_the_defaults() {
    let settings = server(SERVER).unwrap();
    assert_eq!(settings.address.to_string(), "192.0.2.10:848");
    assert_eq!(settings.control_socket, PathBuf::from("/run/gdoi/ks.sock"));
    assert_eq!(settings.server.proposals.len(), 45);
    let group = &settings.server.groups[0];
    assert_eq!((group.transform.to_string().as_str(), group.replay_window), ("aes-256-gcm", 1024));
    assert_eq!((group.activation_delay.as_secs(), group.deactivation_delay.as_secs()), (30, 60));
    assert!(group.rekey.is_none() && group.authorization.addresses.is_empty());
}

#[test]
fn transforms_and_windows_go_together() {
    let read = |ipsec: &str| {
        let settings = server(&SERVER.replace("lifetime: 3600", ipsec)).unwrap();
        let group = &settings.server.groups[0];
        (group.transform.to_string(), group.replay_window)
    };
    assert_eq!(read("transform: chacha20-poly1305"), ("chacha20-poly1305".into(), 1024));
    assert_eq!(read("transform: aes-128-gcm\n        replay-window: 4096"), ("aes-128-gcm".into(), 4096));
    assert_eq!(read("replay-window: 0"), ("aes-256-gcm".into(), 0));
    assert_eq!(read("transform: aes-256-cbc/hmac-sha-512"), ("aes-256-cbc/hmac-sha-512".into(), 0));
}

#[test]
fn short_lives_get_short_delays() {
    let settings = server(&SERVER.replace("3600", "60")).unwrap();
    let group = &settings.server.groups[0];
    assert_eq!((group.activation_delay.as_secs(), group.deactivation_delay.as_secs()), (5, 10));
}
