//! The arguments as a whole.

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("infranetes").chain(line.split_whitespace()))
}

#[test]
fn the_definition_holds_together() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn every_command_shows_an_example() {
    fn visit(command: &clap::Command, path: &str) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            visit(sub, &path);
            let leaf = !sub.has_subcommands();
            let told = sub.get_after_help().is_some_and(|help| help.to_string().contains("infranetes"));
            assert!(told || !leaf, "{path} shows no example");
        }
    }
    visit(&<Cli as clap::CommandFactory>::command(), "infranetes");
}

#[test]
fn serve_takes_its_configuration() {
    let cli = parse("serve --config /etc/x.toml").unwrap();
    assert!(
        matches!(cli.command(), Command::Serve { config } if config == std::path::Path::new("/etc/x.toml"))
    );
    assert!(parse("serve").is_err());
}

#[test]
fn global_options_stand_anywhere() {
    for line in ["--timeout 5 -o json ps", "ps --timeout 5 -o json"] {
        let global = parse(line).unwrap().global;
        assert_eq!((global.timeout, global.output), (Some(5), Format::Json), "{line}");
    }
    assert!(parse("ps --timeout 0").is_err());
}

#[test]
fn exec_needs_its_command_after_the_dashes() {
    assert!(matches!(parse("exec app --timeout 5 -- ls -l").unwrap().command, Command::Exec(_)));
    assert!(parse("exec app").is_err());
    assert!(parse("exec app ls").is_err());
}

#[test]
fn run_checks_sizes_and_pairs() {
    assert!(parse("run app:1 --cpus 1.5 --memory 1Gi --label a=b --annotation c=d --label e=f").is_ok());
    assert!(parse("run app:1 --memory 1gb").unwrap_err().to_string().contains("512Mi"));
    assert!(parse("run app:1 --label a").unwrap_err().to_string().contains("KEY=VALUE"));
}

#[test]
fn a_password_comes_by_the_standard_input_alone() {
    assert!(parse("image pull a --username u").is_err());
    assert!(parse("image pull a --password-stdin").is_err());
    assert!(parse("image pull a --username u --password-stdin").is_ok());
}

#[test]
fn formats_of_disks_are_the_six() {
    for format in ["qcow2", "raw", "vmdk", "vhd", "vhdx", "vdi"] {
        assert!(parse(&format!("image import d --name a:1 --format {format}")).is_ok(), "{format}");
    }
    assert!(parse("image import d --name a:1 --format iso").is_err());
}

#[tokio::test]
async fn an_absent_daemon_is_told_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = format!("unix://{}/none.sock", folder.path().display());
    let error = parse(&format!("--endpoint {endpoint} ps")).unwrap().run().await.unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("none.sock") && told.contains("infranetes serve --config"), "{told}");
}
