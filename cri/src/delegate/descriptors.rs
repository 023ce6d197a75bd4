//! `ListMetricDescriptors`: one of each name.
//!
//! A kubelet keeps one descriptor of a name, and leaves out what comes under that name with another number of labels. Ours have the
//! labels of containerd's, so either one does. Where a delegate labels a name otherwise, as CRI-O does, its descriptor is the one
//! that is told: the kubelet has its figures then, and of ours those whose names the delegate does not have.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::runtime::v1::MetricDescriptor;

use super::list::{self, ITEMS};
use super::wire;

/// Ours but for those that the delegate labels otherwise.
pub(super) fn agreed(ours: &Bytes, theirs: &Bytes) -> Bytes {
    let labels = |item: Bytes| MetricDescriptor::decode(item).ok().map(|it| (it.name, it.label_keys));
    let known: BTreeMap<_, _> = list::items(theirs).filter_map(labels).collect();
    let mut agreed = BytesMut::new();
    for field in wire::fields(ours).flatten() {
        let told = field.content.filter(|_| field.number == ITEMS).and_then(labels);
        if told.is_none_or(|(name, keys)| known.get(&name).is_none_or(|theirs| *theirs == keys)) {
            agreed.put(field.whole);
        }
    }
    agreed.freeze()
}

#[cfg(test)]
mod tests {
    use proto::runtime::v1::ListMetricDescriptorsResponse;

    use super::*;

    #[test]
    fn what_the_delegate_labels_otherwise_is_its_to_describe() {
        let answer = |told: &[(&str, &[&str])]| {
            let descriptors = told.iter().map(|(name, keys)| MetricDescriptor {
                name: (*name).to_owned(),
                help: String::new(),
                label_keys: keys.iter().map(ToString::to_string).collect(),
            });
            let descriptors = descriptors.collect();
            Bytes::from(ListMetricDescriptorsResponse { descriptors }.encode_to_vec())
        };
        let ours = answer(&[("same", &["pod", "id"]), ("other", &["pod", "id"]), ("own", &["pod"])]);
        let theirs = answer(&[("other", &["id"]), ("same", &["pod", "id"])]);
        assert_eq!(agreed(&ours, &theirs), answer(&[("same", &["pod", "id"]), ("own", &["pod"])]));
        assert_eq!(agreed(&ours, &Bytes::new()), ours);
    }
}
