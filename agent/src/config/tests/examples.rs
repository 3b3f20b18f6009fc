//! The examples and what README shows.

use super::*;

#[test]
fn the_shipped_examples_are_valid() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    Source::read(&deploy.join("gm.yaml")).unwrap().parse::<MemberFile>().unwrap();
    Source::read(&deploy.join("ks.yaml")).unwrap().parse::<KeyServerFile>().unwrap();
}

/// What the shipped example explains in comments works without the number signs.
#[test]
fn the_shipped_examples_comments_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ks.yaml");
    let text = fs::read_to_string(path).unwrap().replace("        transport: unicast", "#");
    let keys = [
        "lifetime",
        "encryption",
        "retransmit",
        "signed",
        "reminder",
        "transport",
        "address",
        "interface",
        "ttl",
    ];
    let own = ["# port", "# state-", "# lab-timers", "# control-socket"];
    let uncommented = |line: &str| match line.strip_prefix("        # ") {
        Some(rest) if keys.iter().any(|key| rest.starts_with(key)) => format!("        {rest}\n"),
        _ if own.iter().any(|key| line.starts_with(key)) => format!("{}\n", &line[2..]),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(uncommented).collect();
    assert!(text.contains("\n        ttl: 32\n") && text.contains("\nlab-timers: true"), "{text}");
    Source::from_text(Path::new("ks.yaml"), text).parse::<KeyServerFile>().unwrap();
}

/// A transform is written without blanks, in comments as well.
#[test]
fn the_transforms_that_the_example_names_are_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/ks.yaml");
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains("cbc /") && !text.contains("/ hmac"), "{text}");
    let words = text.split(|letter: char| letter.is_whitespace() || ",;".contains(letter));
    let named: Vec<_> = words.filter(|word| word.contains("/hmac")).collect();
    assert!(named.len() >= 2, "{named:?}");
    for word in named {
        word.parse::<gdoi::policy::Transform>().unwrap();
    }
}

#[test]
fn the_configurations_of_the_readme_are_valid() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let kinds: Vec<Kind> =
        blocks.iter().map(|text| Source::from_text(Path::new("README.md"), *text).kind().unwrap()).collect();
    assert_eq!(kinds, [Kind::KeyServer, Kind::Member, Kind::KeyServer]);
    let (scratch, _) = rekeying("readme", "");
    for block in [blocks[0], blocks[2]] {
        let file = scratch.write("readme.yaml", block, 0o600);
        assert_eq!(check(&file).unwrap(), Vec::<String>::new());
    }
    member(blocks[1]).unwrap();
}
