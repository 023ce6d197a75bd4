//! What is counted. One process has one daemon, so there is one of it, as there is one log.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::node::Node;
use crate::pod::now;
use crate::store::PodPhase;

/// The upper bounds of an RPC's duration in seconds.
const RPC_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];
/// The upper bounds of a boot's duration in seconds.
const BOOT_SECONDS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| METRICS.registry());

/// Which call, and how it ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    method: &'static str,
    code: String,
}

/// Where pods are in their life.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

struct Metrics {
    rpcs: Family<Call, Histogram, fn() -> Histogram>,
    pods: Family<InPhase, Gauge>,
    boots: Histogram,
    lost_boots: Counter,
    sessions: Gauge,
    connects: Counter,
    reconnects: Counter,
    retries: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rpcs: Family::new_with_constructor(|| Histogram::new(RPC_SECONDS)),
            pods: Family::default(),
            boots: Histogram::new(BOOT_SECONDS),
            lost_boots: Counter::default(),
            sessions: Gauge::default(),
            connects: Counter::default(),
            reconnects: Counter::default(),
            retries: Counter::default(),
        }
    }
}

impl Metrics {
    /// Their names, and what they mean.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("infranetes");
        let help = "How long calls of the CRI took, by method and gRPC code";
        registry.register_with_unit("rpc_duration", help, Unit::Seconds, self.rpcs.clone());
        registry.register("pods", "Pods by their phase", self.pods.clone());
        let help = "From the start of a machine to its guest's first answer";
        registry.register_with_unit("boot_duration", help, Unit::Seconds, self.boots.clone());
        let help = "Guests that were given up before their first answer";
        registry.register("boots_given_up", help, self.lost_boots.clone());
        registry.register("guests_with_session", "Guests that can be asked now", self.sessions.clone());
        registry.register("sessions_opened", "Sessions to guests that were opened", self.connects.clone());
        let help = "Sessions that were opened to guests which had answered before";
        registry.register("sessions_reopened", help, self.reconnects.clone());
        let help = "Steps of pods that failed and are tried again";
        registry.register("pod_retries", help, self.retries.clone());
        registry
    }
}

/// A call has ended.
pub fn rpc(method: &'static str, code: String, took: Duration) {
    METRICS.rpcs.get_or_create(&Call { method, code }).observe(took.as_secs_f64());
}

/// A guest was given up before its first answer.
pub fn boot_given_up() {
    METRICS.lost_boots.inc();
}

/// A session was opened to a guest: again, or for the first time since its machine was started, which was then
/// (nanoseconds since 1970).
pub fn session_opened(again: bool, started_at: Option<i64>) {
    METRICS.connects.inc();
    if again {
        METRICS.reconnects.inc();
    } else if let Some(started) = started_at {
        let took = u64::try_from(now().saturating_sub(started)).unwrap_or_default();
        METRICS.boots.observe(Duration::from_nanos(took).as_secs_f64());
    }
}

/// A step of a pod has failed and is tried again.
pub fn retried() {
    METRICS.retries.inc();
}

/// Everything as text, in the format of `OpenMetrics`. What can be counted on the node is counted now.
pub(super) fn text(node: &Node) -> String {
    let views = node.pods.views();
    for (phase, label) in [
        (PodPhase::Creating, "creating"),
        (PodPhase::Ready, "ready"),
        (PodPhase::Stopping, "stopping"),
        (PodPhase::Stopped, "stopped"),
        (PodPhase::Removing, "removing"),
    ] {
        let count = views.iter().filter(|view| view.pod.phase == phase).count();
        METRICS.pods.get_or_create(&InPhase { phase: label }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    let links = views.iter().flat_map(|view| view.containers.values()).filter_map(|each| each.link.as_ref());
    let sessions = links.filter(|link| link.session().is_ok()).count();
    METRICS.sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = encode(&mut text, &REGISTRY);
    text
}
