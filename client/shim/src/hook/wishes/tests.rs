//! Arguments, states and annotations.

#![expect(clippy::needless_pass_by_value, reason = "json! makes values")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn state(value: Value) -> Result<State, Error> {
    State::read(value.as_object().unwrap())
}

fn annotated(annotations: Value) -> Result<Wishes, Error> {
    let mut wishes = Wishes::default();
    wishes.take_annotations(&state(json!({ "id": "c1", "annotations": annotations }))?)?;
    Ok(wishes)
}

fn arguments(words: &[&str]) -> Result<(Option<Stage>, Wishes), Error> {
    let mut wishes = Wishes::default();
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let stage = wishes.take_arguments(&words)?;
    Ok((stage, wishes))
}

#[test]
fn annotations_win_over_arguments() {
    let (stage, mut wishes) = arguments(&[
        "createRuntime",
        "--network",
        "red",
        "--iface=eth0",
        "--mtu",
        "1400",
        "--ip",
        "2001:db8::5",
        "--ipfile=/x/.ip",
    ])
    .unwrap();
    assert_eq!((stage, wishes.required), (Some(Stage::CreateRuntime), false));
    assert_eq!(wishes.ip_file, Some(PathBuf::from("/x/.ip")));
    let annotations = json!({
        "v6pod.network": "blue", "v6pod.name": "web", "v6pod.mac": "02:00:00:00:00:05", "v6pod.aliases": "a, b,",
        "v6pod.tags": "t=1", "v6pod.ports": " ", "v6pod.inbound": "80/tcp,443/tcp", "v6pod.ipfile": ".ip", "io.x": "y",
    });
    wishes.take_annotations(&state(json!({ "id": "c1", "annotations": annotations })).unwrap()).unwrap();
    let expected = ActivateRequest {
        network: "blue".to_owned(),
        container_id: "c1".to_owned(),
        name: "web".to_owned(),
        interface: "eth0".to_owned(),
        address: "2001:db8::5".to_owned(),
        mac: "02:00:00:00:00:05".to_owned(),
        mtu: 1400,
        aliases: vec!["a".to_owned(), "b".to_owned()],
        tags: vec!["t=1".to_owned()],
        no_default_route: false,
        inbound: "80/tcp,443/tcp".to_owned(),
    };
    assert_eq!(wishes.request("c1".to_owned()), expected);
    assert_eq!((wishes.required, wishes.ip_file), (true, Some(PathBuf::from(".ip"))));
}

#[test]
fn only_ours_ask_for_an_address() {
    assert!(!annotated(json!({ "io.x": "y", "v6podx": "" })).unwrap().required);
    assert!(annotated(json!({ "v6pod.network": "" })).unwrap().required);
}

#[test]
fn annotations_that_are_refused() {
    for (annotations, told) in [
        (json!({ "v6pod.netwrok": "x" }), r#"there is no annotation "v6pod.netwrok""#),
        (json!({ "v6pod.mtu": "much" }), r#"v6pod.mtu cannot be "much""#),
        (json!({ "v6pod.mtu": 1400 }), r#"v6pod.mtu cannot be "1400""#),
        (json!({ "v6pod.ipfile": "/etc/passwd" }), "v6pod.ipfile cannot be"),
        (json!({ "v6pod.ipfile": "../x" }), "v6pod.ipfile cannot be"),
        (json!({ "v6pod.ipfile": ".." }), "v6pod.ipfile cannot be"),
        (json!({ "v6pod.ipfile": "" }), "v6pod.ipfile cannot be"),
        (json!([]), "the container's state: \"annotations\" must be an object"),
    ] {
        let error = annotated(annotations).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn arguments_that_are_refused() {
    for (words, told) in [
        (&["createContainer"][..], r#"there is nothing to do in the stage "createContainer""#),
        (&["--netwrok", "x"], r#"there is no argument "--netwrok""#),
        (&["--required=1"], r#"there is no argument "--required""#),
        (&["--network"], "--network needs a value"),
        (&["--mtu=x"], r#"--mtu cannot be "x""#),
    ] {
        let error = arguments(words).unwrap_err().to_string();
        assert!(error.starts_with(told), "{error}");
    }
    assert_eq!(arguments(&["poststop"]).unwrap().0, Some(Stage::Poststop));
    assert_eq!(arguments(&["prestart", "--required"]).unwrap().0, Some(Stage::CreateRuntime));
}

#[test]
fn the_state_tells_the_stage() {
    for (value, stage) in [
        (json!({ "id": "c", "pid": 5, "status": "created" }), Stage::CreateRuntime),
        (json!({ "id": "c", "pid": 5, "status": "creating" }), Stage::CreateRuntime),
        (json!({ "id": "c", "pid": 5 }), Stage::CreateRuntime),
        (json!({ "id": "c", "pid": 5, "status": "stopped" }), Stage::Poststop),
        (json!({ "id": "c", "pid": 0, "status": "stopped", "annotations": null }), Stage::Poststop),
        (json!({ "id": "c" }), Stage::Poststop),
    ] {
        assert_eq!(state(value).unwrap().stage(), stage);
    }
    for value in
        [json!({}), json!({ "id": 1 }), json!({ "id": "c", "pid": -1 }), json!({ "id": "c", "pid": "5" })]
    {
        assert!(state(value).is_err());
    }
}

#[test]
fn what_another_attachment_lacks_is_named() {
    let attachment = Attachment {
        network: "default".to_owned(),
        interface: "v6pod0".to_owned(),
        address: "2001:db8::5".to_owned(),
        mac: "02:00:00:00:00:0a".to_owned(),
        mtu: 1500,
        ..Default::default()
    };
    let differs = |annotations: Value| annotated(annotations).unwrap().differs(&attachment);
    assert_eq!(differs(json!({ "v6pod.name": "web" })), None);
    let same = json!({ "v6pod.network": "default", "v6pod.address": "2001:0db8::5", "v6pod.mac": "02:00:00:00:00:0A" });
    assert_eq!(differs(same), None);
    assert_eq!(differs(json!({ "v6pod.network": "blue" })), Some("the network"));
    assert_eq!(differs(json!({ "v6pod.interface": "eth0" })), Some("the interface"));
    assert_eq!(differs(json!({ "v6pod.address": "2001:db8::6" })), Some("the address"));
    assert_eq!(differs(json!({ "v6pod.address": "x" })), Some("the address"));
    assert_eq!(differs(json!({ "v6pod.mac": "x" })), Some("the MAC"));
    assert_eq!(differs(json!({ "v6pod.mtu": "1400" })), Some("the MTU"));
}

proptest! {
    #[test]
    fn arbitrary_arguments_never_panic(words in prop::collection::vec("(--)?(network|mtu|ip|required)?=?.{0,4}", 0..4)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _ = arguments(&words);
    }

    #[test]
    fn arbitrary_states_never_panic(key in "v6pod\\.(mtu|ports|ipfile|tags|.{0,5})", value in ".{0,20}", input: Vec<u8>) {
        let _ = annotated(json!({ key: value }));
        if let Ok(object) = input::read(input.as_slice()) {
            let _ = State::read(&object);
        }
    }
}
