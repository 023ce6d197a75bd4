//! Attach and detach leave nothing behind.

use super::*;

#[tokio::test]
async fn thirty_cycles_leave_nothing() {
    on_a_node!("thirty_cycles_leave_nothing");
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24", "fd00:89::/64"]);
    network.check().await.unwrap();
    let first = cycle(&network, "warm").await;
    assert_eq!((first.addresses.len(), first.mtu), (2, 1400));
    assert_eq!(first.gateway4, Some("10.89.0.1".parse().unwrap()));
    assert_eq!(first.gateway6, Some("fd00:89::1".parse().unwrap()));
    let before = inventory(state.path());
    for number in 0..30 {
        cycle(&network, &format!("p{number}")).await;
    }
    assert_eq!(inventory(state.path()), before);
    assert!(before.2.is_empty());
}
