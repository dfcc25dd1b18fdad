//! What a fuzzer feeds: answers of an agent.

use super::{Instance, agent};

/// Reads the data as an agent's list of services.
///
/// # Panics
/// A service of somebody else's was taken for one of this instance's.
pub fn list(data: &[u8]) {
    let instance = Instance::new(1);
    for id in agent::read_list(data, instance).into_iter().flatten().map(|(id, _)| id) {
        let text = instance.service_id(id);
        assert!(
            String::from_utf8_lossy(data).contains(&text[text.len() - 4..]),
            "{text} is not in the answer"
        );
    }
}
