use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

/// Runs `client` against a control socket that answers everything with the request itself.
fn with_server<T: Send + 'static>(name: &str, client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let path = std::env::temp_dir().join(format!("gdoi-control-{name}-{}.sock", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let mut control = Control::listen(&path).unwrap();
        let at = path.clone();
        let mut client = tokio::task::spawn_blocking(move || client(&at));
        loop {
            tokio::select! {
                Some(query) = control.next() => {
                    let echo = Answer::of(&query.request);
                    query.answer(echo);
                }
                result = &mut client => return result.unwrap(),
            }
        }
    });
    assert!(!path.exists(), "the socket goes with the daemon");
    result
}

fn exchange(path: &Path, octets: &[u8]) -> String {
    let mut stream = BlockingStream::connect(path).unwrap();
    let _ = stream.write_all(octets);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn every_request_gets_one_answer_line() {
    let answers = with_server("all", |path| {
        [
            exchange(path, b"{\"command\":\"show-gm\"}\n"),
            exchange(path, b"{\"command\":\"gm-register\",\"group\":\"corp\"}\n"),
            exchange(path, b"{\"command\":\"show-ks-members\"}\n"),
        ]
    });
    assert_eq!(answers[0], "{\"ok\":{\"command\":\"show-gm\"}}\n");
    assert_eq!(answers[1], "{\"ok\":{\"command\":\"gm-register\",\"group\":\"corp\"}}\n");
    assert_eq!(answers[2], "{\"ok\":{\"command\":\"show-ks-members\"}}\n");
}

#[test]
fn bad_requests_are_answered_with_the_reason() {
    let answers = with_server("bad", |path| {
        [
            exchange(path, b"{\"command\":\"halt\"}\n"),
            exchange(path, b"nonsense\n"),
            exchange(path, b"{\"command\":\"show-gm\"}"),
            exchange(path, &[b'x'; MAX_REQUEST as usize + 1]),
        ]
    });
    assert!(
        answers[0].starts_with("{\"error\":\"the request is not understood: unknown variant `halt`"),
        "{}",
        answers[0]
    );
    assert!(answers[1].starts_with("{\"error\":\"the request is not understood"), "{}", answers[1]);
    assert!(answers[2].contains("one line of at most 65536 octets"), "{}", answers[2]);
    assert!(answers[3].is_empty() || answers[3].contains("one line of at most"), "{}", answers[3]);
}

#[test]
fn only_the_owner_may_connect() {
    let mode = with_server("mode", |path| std::fs::metadata(path).unwrap().permissions().mode());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn silent_clients_do_not_keep_others_out() {
    let answer = with_server("silent", |path| {
        let silent: Vec<_> = (0..MAX_CLIENTS - 1).map(|_| BlockingStream::connect(path).unwrap()).collect();
        let answer = exchange(path, b"{\"command\":\"show-events\"}\n");
        drop(silent);
        answer
    });
    assert_eq!(answer, "{\"ok\":{\"command\":\"show-events\"}}\n");
}

#[test]
fn a_second_daemon_is_refused_and_a_dead_ones_socket_replaced() {
    let refused = with_server("second", |path| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        Control::listen(path).map(drop).unwrap_err().to_string()
    });
    assert_eq!(refused, "another daemon listens there");
    let path = std::env::temp_dir().join(format!("gdoi-control-second-{}.sock", std::process::id()));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(with_server("second", Path::exists));
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let path = std::env::temp_dir().join(format!("gdoi-control-file-{}.sock", std::process::id()));
    std::fs::write(&path, "precious").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    assert_eq!(Control::listen(&path).map(drop).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}

/// In a process of its own: a daemon that dies while a program that it has just started still holds its socket.
#[test]
fn dies_as_it_starts_a_program() {
    let Some(path) = std::env::var_os("GDOI_TEST_ORPHANED_SOCKET") else { return };
    let listener = BlockingListener::bind(path).unwrap();
    nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    std::process::Command::new("sleep").arg("0.5").spawn().unwrap();
    std::process::exit(0);
}

#[test]
fn a_socket_that_outlives_its_daemon_for_a_moment_is_waited_for() {
    let path = std::env::temp_dir().join(format!("gdoi-control-orphan-{}.sock", std::process::id()));
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control::tests::dies_as_it_starts_a_program"])
        .env("GDOI_TEST_ORPHANED_SOCKET", &path)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert!(BlockingStream::connect(&path).is_ok(), "it is still open");
    assert!(!is_served(&path));
    std::fs::remove_file(&path).unwrap();
}
