//! Machines are lent, given back and found again.

use super::*;
use tempfile::TempDir;

fn fleet() -> (TempDir, Fleet) {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[machine]]\nname = \"a\"\naddress = \"198.51.100.1\"\n\
                [[machine]]\nname = \"b\"\naddress = \"198.51.100.2\"\npower-off = true\n";
    std::fs::write(folder.path().join("fleet.toml"), text).unwrap();
    let fleet = open(&folder);
    (folder, fleet)
}

fn open(folder: &TempDir) -> Fleet {
    Fleet::open(&folder.path().join("machines"), &folder.path().join("fleet.toml")).unwrap()
}

fn id(text: &str) -> MachineId {
    MachineId::new(text).unwrap()
}

#[tokio::test]
async fn a_machine_serves_one_holder_at_a_time() {
    let (_folder, fleet) = fleet();
    let (one, two) = (id("one"), id("two"));
    fleet.adopt(&one, "a", &[]).await.unwrap();
    fleet.adopt(&one, "a", &[]).await.unwrap();
    let watch = fleet.watch(&one).await.unwrap();
    assert_eq!(*watch.borrow(), MachineState::Defined);
    let refusal = fleet.adopt(&two, "a", &[]).await.unwrap_err();
    assert!(refusal.retryable() && refusal.to_string().contains("adopted by one already"), "{refusal}");
    fleet.adopt(&two, "b", &[]).await.unwrap();
    assert!(fleet.adopted(&two).unwrap().power_off);
    fleet.start(&one).await.unwrap();
    assert_eq!(*watch.borrow(), MachineState::Running { resets: 0 });
    fleet.stop(&one, StopMode::PowerButton).await.unwrap();
    assert!(matches!(&*watch.borrow(), MachineState::Ended(end) if end.cause == Cause::Released));
    // A released machine is free though its last holder is still remembered.
    fleet.adopt(&id("three"), "a", &[]).await.unwrap();
    assert!(fleet.start(&one).await.is_err());
    fleet.destroy(&one).await.unwrap();
    assert_eq!(*watch.borrow(), MachineState::Absent);
    fleet.destroy(&one).await.unwrap();
}

#[tokio::test]
async fn the_next_daemon_finds_every_adoption() {
    let (folder, fleet) = fleet();
    let (one, two) = (id("one"), id("two"));
    fleet.adopt(&one, "a", &[]).await.unwrap();
    fleet.start(&one).await.unwrap();
    let node = fleet.node.clone();
    assert!(node.len() > 36 && !node.contains(' '), "{node}");
    drop(fleet);
    // Also where the entry has gone meanwhile.
    std::fs::write(folder.path().join("fleet.toml"), "").unwrap();
    let fleet = open(&folder);
    assert_eq!(fleet.list().await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(fleet.node, node);
    assert_eq!(*fleet.watch(&one).await.unwrap().borrow(), MachineState::Running { resets: 0 });
    assert_eq!(fleet.adopted(&one).unwrap().address, "198.51.100.1:22".parse().unwrap());
    let refusal = fleet.adopt(&two, "a", &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("fleet.toml") && refusal.contains("[[machine]]"), "{refusal}");
    fleet.destroy(&one).await.unwrap();
    assert_eq!(open(&folder).list().await.unwrap(), []);
}

#[tokio::test]
async fn a_machine_that_was_never_started_is_released_too() {
    let (folder, fleet) = fleet();
    fleet.adopt(&id("one"), "a", &[]).await.unwrap();
    assert!(fleet.holds(&id("one")));
    fleet.stop(&id("one"), StopMode::Force).await.unwrap();
    assert!(!fleet.holds(&id("one")));
    fleet.adopt(&id("two"), "a", &[]).await.unwrap();
    drop(fleet);
    let fleet = open(&folder);
    assert!(!fleet.holds(&id("one")) && fleet.holds(&id("two")));
}

#[tokio::test]
async fn two_entries_for_one_machine_are_one_machine() {
    let (folder, fleet) = fleet();
    fleet.adopt(&id("one"), "a", &[]).await.unwrap();
    // The inventory is another one now, in which the machine has another name.
    let text = "[[machine]]\nname = \"c\"\naddress = \"198.51.100.1\"\n";
    std::fs::write(folder.path().join("new"), text).unwrap();
    std::fs::rename(folder.path().join("new"), folder.path().join("fleet.toml")).unwrap();
    let refusal = fleet.adopt(&id("two"), "c", &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("has the address of \"a\", which is adopted by one"), "{refusal}");
    fleet.stop(&id("one"), StopMode::Force).await.unwrap();
    fleet.adopt(&id("two"), "c", &[]).await.unwrap();
}

#[tokio::test]
async fn one_host_with_two_protocols_is_one_machine() {
    let (folder, fleet) = fleet();
    let text = "[[machine]]\nname = \"a\"\naddress = \"198.51.100.1\"\n\
                [[machine]]\nname = \"w\"\naddress = \"198.51.100.1\"\ntransport = \"winrm\"\n\
                [[machine]]\nname = \"routed\"\naddress = \"198.51.100.1:2222\"\n";
    std::fs::write(folder.path().join("new"), text).unwrap();
    std::fs::rename(folder.path().join("new"), folder.path().join("fleet.toml")).unwrap();
    let (one, two) = (id("one"), id("two"));
    fleet.adopt(&one, "a", &[]).await.unwrap();
    fleet.owe(&one, vec!["ssh-ed25519 AAAA".to_owned()]).await.unwrap();
    // Also by the next daemon.
    drop(fleet);
    let fleet = open(&folder);
    let refusal = fleet.adopt(&two, "w", &[]).await.unwrap_err();
    assert!(refusal.retryable() && refusal.to_string().contains("is adopted by one"), "{refusal}");
    fleet.adopt(&id("three"), "routed", &[]).await.unwrap();
    fleet.destroy(&id("three")).await.unwrap();
    // What it owes is nobody else's to pay while it is in use by the other protocol.
    fleet.stop(&one, StopMode::Force).await.unwrap();
    assert_eq!(fleet.owed().borrow().len(), 1);
    fleet.adopt(&two, "w", &[]).await.unwrap();
    assert!(fleet.owed().borrow().is_empty());
}

#[tokio::test]
async fn what_is_owed_outlives_its_adoption() {
    let (folder, fleet) = fleet();
    let (one, keys) = (id("one"), vec!["ssh-ed25519 AAAA".to_owned()]);
    let due =
        |fleet: &Fleet| fleet.owed().borrow().iter().map(|owed| owed.id.to_string()).collect::<Vec<_>>();
    assert!(fleet.owe(&one, keys.clone()).await.is_err(), "nobody owes what he has not");
    fleet.adopt(&one, "a", &[]).await.unwrap();
    fleet.start(&one).await.unwrap();
    fleet.owe(&one, keys.clone()).await.unwrap();
    assert!(fleet.owes(&one) && due(&fleet).is_empty(), "it is in use");
    fleet.stop(&one, StopMode::Force).await.unwrap();
    assert_eq!(due(&fleet), ["one"]);
    fleet.destroy(&one).await.unwrap();
    drop(fleet);
    let fleet = open(&folder);
    assert_eq!(fleet.owed().borrow()[0].keys, keys);
    assert_eq!(fleet.list().await.unwrap(), []);
    // Whoever has it next pays for all.
    fleet.adopt(&id("two"), "a", &[]).await.unwrap();
    assert!(due(&fleet).is_empty());
    fleet.owe(&id("two"), keys).await.unwrap();
    fleet.paid(&id("two")).await.unwrap();
    fleet.stop(&id("two"), StopMode::Force).await.unwrap();
    assert!(due(&fleet).is_empty() && !fleet.owes(&one));
    assert!(open(&folder).owed().borrow().is_empty());
}
