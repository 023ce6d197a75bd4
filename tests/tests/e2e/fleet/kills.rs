//! The daemon is killed at every step of a fleet pod's life, and the machine is its owner's again all the same.

use cri::fault::Step;

use super::{HANDLER, IMAGE, Setup};
use crate::client::{Client, pod};

/// What a kubelet asks for in such a life.
#[derive(Debug, Clone, Copy)]
enum Call {
    RunPod,
    Create,
    Start,
    Stop,
    Remove,
    StopPod,
    RemovePod,
}

/// A life, with what is known of it so far.
struct Life {
    name: String,
    pod: String,
    container: String,
}

impl Life {
    async fn call(&mut self, setup: &mut Setup, call: Call) -> Result<(), tonic::Status> {
        let client = &mut setup.client;
        match call {
            Call::RunPod => {
                self.pod = client.run_pod_by(&pod(&self.name, &setup.node.pod_logs()), HANDLER).await?;
            }
            Call::Create => self.container = client.create(&self.pod, "machine", IMAGE).await?,
            Call::Start => client.start(&self.container).await?,
            Call::Stop => client.stop(&self.container, 10).await?,
            Call::Remove => client.remove(&self.container).await?,
            Call::StopPod => client.stop_pod(&self.pod).await?,
            Call::RemovePod => client.remove_pod(&self.pod).await?,
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_any_step_gives_the_machine_back() {
    crate::within(600, every_step()).await;
}

async fn every_step() {
    let mut setup = Setup::ready().await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    // Nothing is leased: there is no disk.
    for step in Step::ALL.iter().filter(|step| !matches!(step, Step::ImageLeased)) {
        let name = step.name();
        setup.node.daemon().kill();
        let serves = tokio::task::block_in_place(|| setup.node.start_daemon_to_die_at(name)).unwrap();
        assert!(serves, "{name}: an empty node passes no step");
        setup.client = Client::connect(&setup.node.socket()).await;
        let mut life = Life { name: name.to_owned(), pod: String::new(), container: String::new() };
        let mut died_in = None;
        let all = [
            Call::RunPod,
            Call::Create,
            Call::Start,
            Call::Stop,
            Call::Remove,
            Call::StopPod,
            Call::RemovePod,
        ];
        for call in all {
            if let Err(error) = life.call(&mut setup, call).await {
                assert!(died_in.is_none(), "{name}: {call:?} failed after the restart too: {error}");
                died_in = Some(call);
                setup.restart_daemon().await;
                let again = life.call(&mut setup, call).await;
                again.unwrap_or_else(|error| panic!("{name}: {call:?} again: {error}"));
            }
        }
        assert!(died_in.is_some(), "{name}: the daemon never came there");
        assert_eq!(setup.node.inventory().unwrap().beyond(&before), Vec::<String>::new(), "{name}");
        setup.machine.becomes(&machine_before);
    }
}
