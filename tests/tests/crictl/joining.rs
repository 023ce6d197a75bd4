//! A process of a pod that is joined by `crictl attach`, whatever its machine is.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::Node;

use crate::program::Crictl;
use crate::text;

/// A process beside it is spoken with, and its input ends with the one who was to write it.
pub(crate) fn a_process_is_joined(
    crictl: &Crictl,
    node: &Node,
    image: &str,
    (pod_file, pod): (&Path, &str),
    transport: &str,
    patience: Duration,
) {
    let config = json!({
        "metadata": { "name": transport, "attempt": 0 },
        "image": { "image": image },
        "command": ["sh", "-c", "while read -r line; do echo \"heard $line\"; done; echo over; exit 3"],
        "stdin": true,
        "stdin_once": true,
        "log_path": format!("{transport}/0.log"),
        "linux": {},
    });
    let file = node.dir().join("process.json");
    std::fs::write(&file, config.to_string()).expect("a file in the node's folder");
    let id = crictl.call(&["create", "--no-pull", pod, text(&file), text(pod_file)]);
    crictl.call(&["start", &id]);
    let mut talk = crictl.talk(&["attach", "-i", "--transport", transport, &id]);
    for word in ["one", "two"] {
        talk.types(&format!("{word}\n"));
        talk.shows(&format!("heard {word}\n"), patience);
    }
    talk.hangs_up();
    talk.shows("over\n", patience);
    let ended = |told: &Value| told["status"]["state"] == "CONTAINER_EXITED";
    let told = crictl.until_json(patience, &["inspect", &id], ended);
    assert_eq!(told["status"]["exitCode"], 3, "{transport}: {told}");
    assert_eq!(crictl.call(&["logs", &id]), "heard one\nheard two\nover", "{transport}");
    crictl.call(&["rm", &id]);
}
