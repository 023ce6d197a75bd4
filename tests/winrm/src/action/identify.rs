//! `Identify`: the versions of protocol and product.

use crate::envelope::{Answer, IDENTITY, WSMAN};

pub(super) fn perform() -> Answer {
    let body = format!(
        "<wsmid:IdentifyResponse xmlns:wsmid=\"{IDENTITY}\"><wsmid:ProtocolVersion>{WSMAN}</wsmid:ProtocolVersion>\
         <wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>\
         <wsmid:ProductVersion>OS: 10.0.17763 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
    );
    Answer::new(format!("{IDENTITY}/IdentifyResponse"), body)
}
