//! What producers that are no Workers send for the audit log.

use portcullis_core::audit::letters::of_gateway;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::submitted::{MAX_EVENTS, MAX_NAME_BYTES, parse};
use portcullis_core::id::{ProducerId, SubjectKey};

/// What is taken is within its bounds, and is what a gateway may say; of a message of the queue likewise.
pub fn audit_events(data: &[u8]) {
    if let Ok(pack) = of_gateway(data) {
        assert!(pack.is_a_gateways());
    }
    let Ok(submitted) = parse(data) else {
        return;
    };
    assert!((1..=MAX_NAME_BYTES).contains(&submitted.producer.len()));
    assert!((1..=MAX_EVENTS).contains(&submitted.events.len()));
    let subject = SubjectKey::from_bytes([1; 16]);
    let said = submitted.events.into_iter().map(|said| {
        let of = said.subject.is_some().then_some(subject);
        said.of(of)
    });
    let pack = Pack {
        producer: ProducerId::of_api("gateway", &submitted.producer),
        first_sequence: submitted.first_sequence,
        events: said.collect(),
    };
    assert!(pack.is_a_gateways());
    for event in &pack.events {
        assert_eq!(&event.clone().bounded(), event);
    }
    let bytes = pack.to_bytes().expect("encodes");
    assert_eq!(Pack::from_bytes(&bytes).as_ref(), Ok(&pack));
}
