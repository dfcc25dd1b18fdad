//! What a fuzzer feeds: states of containers.

use std::path::Component;

use super::wishes::{State, Wishes};
use crate::input;

/// Reads the data as a container's state.
///
/// # Panics
/// An annotation names a file outside the bundle.
pub fn hook(data: &[u8]) {
    let Ok(state) = input::read(data).map_err(drop).and_then(|object| State::read(&object).map_err(drop))
    else {
        return;
    };
    let _ = state.stage();
    let mut wishes = Wishes::default();
    if wishes.take_annotations(&state).is_ok() {
        let file = wishes.ip_file.as_ref().map(|path| path.components().collect::<Vec<_>>());
        assert!(matches!(file.as_deref(), None | Some([Component::Normal(_)])), "{file:?}");
        let _ = wishes.request(state.id.clone());
    }
}
