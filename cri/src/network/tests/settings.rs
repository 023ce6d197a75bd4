//! What a guest is told without a plugin's help, and the network that is none.

use serde_json::json;

use super::*;

fn attachment(more: &serde_json::Value) -> Attachment {
    let mut value = json!({
        "id": "a", "netns": "", "tap": "tap0", "mac": "02:00:00:00:00:01", "mtu": 1400,
        "addresses": [{ "address": "10.1.0.2", "prefix": 24 }, { "address": "fd00::2", "prefix": 64 }],
        "gateway4": null, "gateway6": null, "routes": [], "dns": {},
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn card(attachment: &Attachment, identity: &GuestIdentity) -> serde_json::Value {
    let text = super::super::cloud_init_network(attachment, identity);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["ethernets"]["eth0"].clone()
}

#[test]
fn each_gateway_is_reachable_before_it_is_used() {
    let any = |address: &str| json!({ "address": address, "prefix": 0 });
    let route = |to: &str, via: &str| json!({ "destination": any(to), "gateway": via });
    let given = attachment(&json!({ "routes": [
        route("0.0.0.0", "169.254.1.1"), route("0.0.0.0", "10.1.0.1"),
        route("::", "fd00::1"), route("::", "fe80::1"), route("::", "fd99::1"),
    ]}));
    let card = card(&given, &GuestIdentity::default());
    assert_eq!(
        card["routes"],
        json!([
            { "to": "169.254.1.1/32", "scope": "link" },
            { "to": "fd99::1/128", "scope": "link" },
            { "to": "0.0.0.0/0", "via": "169.254.1.1", "on-link": true },
            { "to": "0.0.0.0/0", "via": "10.1.0.1" },
            { "to": "::/0", "via": "fd00::1" },
            { "to": "::/0", "via": "fe80::1", "on-link": true },
            { "to": "::/0", "via": "fd99::1", "on-link": true },
        ])
    );
    assert_eq!(card["addresses"], json!(["10.1.0.2/24", "fd00::2/64"]));
    assert_eq!((&card["mtu"], &card["match"]["macaddress"]), (&json!(1400), &json!("02:00:00:00:00:01")));
}

#[test]
fn the_pods_own_name_servers_come_before_the_networks() {
    let given = attachment(&json!({ "dns": { "nameservers": ["10.0.0.53"], "domain": "net.test" } }));
    let nobody = GuestIdentity::default();
    let expected = json!({ "addresses": ["10.0.0.53"], "search": ["net.test"] });
    assert_eq!(card(&given, &nobody)["nameservers"], expected);
    let own = GuestIdentity {
        servers: vec!["10.96.0.10".parse().unwrap()],
        search: vec!["cluster.local".to_owned()],
        ..nobody
    };
    let expected = json!({ "addresses": ["10.96.0.10"], "search": ["cluster.local"] });
    assert_eq!(card(&given, &own)["nameservers"], expected);
}

#[tokio::test]
async fn without_a_network_there_are_addresses_and_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    let open = || {
        let state_dir = state.path().join("network");
        Network::open(NetworkConfig { mode: Mode::Null, state_dir, tap_user: 0 }).unwrap()
    };
    let network = open();
    network.check().await.unwrap();
    let mut seen = std::collections::HashSet::new();
    for number in 0..300 {
        let request = pod(&format!("p{number}"));
        let given = network.attach(&request).await.unwrap();
        assert_eq!(network.attach(&request).await.unwrap(), given);
        assert!(!given.is_real() && given.netns.as_os_str().is_empty());
        assert!(seen.insert(given.address().unwrap()), "{:?} is given twice", given.address());
        drop(network.serve_dhcp(&given, &GuestIdentity::default()).await.unwrap());
    }
    let mut ids = network.list().await.unwrap();
    assert_eq!(ids.len(), 300);
    for id in ids.drain(..) {
        network.detach(&id).await.unwrap();
        network.detach(&id).await.unwrap();
    }
    assert!(network.list().await.unwrap().is_empty());
    assert!(!state.path().join("network").exists(), "nothing is written");
    // The same pod has the same address after a restart of the daemon.
    let request = pod("again");
    let before = network.attach(&request).await.unwrap();
    assert_eq!(open().attach(&request).await.unwrap(), before);
}

#[tokio::test]
async fn ids_and_names_that_would_escape_are_refused() {
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24"]);
    for id in ["", "../up", "a/b", ".hidden", "a\nb", &"x".repeat(129)] {
        let mut request = pod("p");
        id.clone_into(&mut request.id);
        let error = network.attach(&request).await.unwrap_err().to_string();
        assert!(error.contains("is no file name"), "{id:?}: {error}");
        assert!(network.detach(id).await.is_err());
    }
    let mut request = pod("p");
    request.name = "a;IgnoreUnknown=0".to_owned();
    let error = network.attach(&request).await.unwrap_err().to_string();
    assert!(error.contains("name it otherwise"), "{error}");
    assert!(network.list().await.unwrap().is_empty());
}
