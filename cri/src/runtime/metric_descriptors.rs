//! `ListMetricDescriptors`. The kubelet asks once, at its start.

use proto::runtime::v1::{ListMetricDescriptorsRequest, ListMetricDescriptorsResponse};

use crate::stats::metrics;

/// Serves the call.
pub fn metric_descriptors(request: ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse {
    let ListMetricDescriptorsRequest {} = request;
    ListMetricDescriptorsResponse { descriptors: metrics::descriptors() }
}
