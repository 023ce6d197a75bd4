//! The durable steps of a pod's life, by name, and the means to die at one of them.
//!
//! Recovery is only believed when it has been tried at every step. Each place where something has just become durable
//! (a record, or an effect in the world) passes [`reached`]. With `INFRANETES_DIE_AT=<name>` in its environment the
//! daemon ends there as by `kill -9`: nothing is flushed, nothing is cleaned up. Without it a step costs one comparison.

use std::sync::OnceLock;

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal,)+) => {
        /// A durable step.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step { $($(#[doc = $doc])+ $step,)+ }

        impl Step {
            /// Every step, in the order of a pod's life.
            pub const ALL: &[Step] = &[$(Step::$step,)+];

            /// The name that `INFRANETES_DIE_AT` takes.
            pub fn name(self) -> &'static str {
                match self { $(Step::$step => $name,)+ }
            }
        }
    };
}

steps! {
    /// The pod's record exists; nothing else does.
    PodRecorded = "pod-recorded",
    /// The network is attached; the record does not say so yet.
    NetworkAttached = "network-attached",
    /// The record says that the pod is ready.
    PodReady = "pod-ready",
    /// The container's record exists; nothing else does.
    ContainerRecorded = "container-recorded",
    /// The image is leased to the container.
    ImageLeased = "image-leased",
    /// The machine is defined.
    MachineDefined = "machine-defined",
    /// The record says that the container is created.
    ContainerCreated = "container-created",
    /// The record says that the container shall run.
    StartRecorded = "start-recorded",
    /// The machine runs.
    MachineStarted = "machine-started",
    /// The record says that the container runs.
    RunningRecorded = "running-recorded",
    /// The record says that the container shall stop.
    StopRecorded = "stop-recorded",
    /// The machine no longer runs.
    MachineEnded = "machine-ended",
    /// The record says that the container has exited.
    ExitRecorded = "exit-recorded",
    /// The record says that the container shall be removed.
    RemovalRecorded = "removal-recorded",
    /// The machine is destroyed.
    MachineDestroyed = "machine-destroyed",
    /// The image is released.
    ImageReleased = "image-released",
    /// The container's record is gone.
    ContainerForgotten = "container-forgotten",
    /// The record says that the pod shall stop.
    PodStopRecorded = "pod-stop-recorded",
    /// The network is detached.
    NetworkDetached = "network-detached",
    /// The record says that the pod has stopped.
    PodStopped = "pod-stopped",
    /// The record says that the pod shall be removed.
    PodRemovalRecorded = "pod-removal-recorded",
    /// The pod's record is gone.
    PodForgotten = "pod-forgotten",
}

/// Passes a step; dies here if that was asked for.
pub fn reached(step: Step) {
    static DIE_AT: OnceLock<Option<String>> = OnceLock::new();
    let die_at = DIE_AT.get_or_init(|| std::env::var("INFRANETES_DIE_AT").ok());
    if die_at.as_deref() == Some(step.name()) {
        tracing::warn!(step = step.name(), "dying here, as INFRANETES_DIE_AT asks");
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}
