//! Messages to objects and on the queue.

use portcullis_core::audit::call::LaneRequest;
use portcullis_core::audit::pack::Pack;
use portcullis_core::oauth::flow::FlowRequest;
use portcullis_core::policy::call::PolicyRequest;
use portcullis_core::scim::call::DirectoryCall;
use portcullis_core::session::call::SubjectCall;
use portcullis_core::wire::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// What is read as a message says the same when it is written and read again.
pub fn wire(data: &[u8]) {
    again::<SubjectCall>(data);
    again::<DirectoryCall>(data);
    again::<LaneRequest>(data);
    again::<FlowRequest>(data);
    again::<PolicyRequest>(data);
    if let Ok(pack) = Pack::decode(data) {
        let written = pack.encode().expect("what was read can be written");
        assert_eq!(Pack::decode(&written), Ok(pack));
    }
}

fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    if let Ok(message) = decode::<T>(data) {
        let written = encode(&message).expect("what was read can be written");
        assert_eq!(decode::<T>(&written), Ok(message));
    }
}
