//! Settings that are missing or wrong: each is named, with what to do, and no secret is ever shown.

use tests::harness::until;

use crate::{KEY, Place, SECRET};

#[test]
fn a_missing_secret_is_named_with_what_to_do() {
    for (program, flags, variable) in [
        ("kafka-to-stripe", &["--from", "-", "--to", "-"][..], "STRIPE_SECRET_KEY"),
        ("stripe-tail", &["--to", "-"], "STRIPE_SECRET_KEY"),
        ("stripe-hook", &["--to", "-", "--listen", "127.0.0.1:0"], "STRIPE_WEBHOOK_SECRET"),
    ] {
        let ended = Place::usual().without(variable).run(program, flags, b"");
        ended.failed(program, 78, &[variable, "_FILE", &format!("{program}: hint: ")]);
        // Empty is as good as missing, as in a compose file with nothing filled in.
        let ended = Place::usual().with(variable, "").run(program, flags, b"");
        ended.failed(program, 78, &[variable]);
    }
}

#[test]
fn a_secret_may_come_from_a_file_but_not_twice() {
    let place = Place::usual().without("STRIPE_SECRET_KEY");
    let file = place.write("key", &format!("{KEY}\n"));
    let place = place.with("STRIPE_SECRET_KEY_FILE", file);
    let flags = ["--from", "-", "--to", "-"];
    let ended = place.run("kafka-to-stripe", &flags, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    ended.keeps_secrets();

    let both = place.with("STRIPE_SECRET_KEY", KEY).run("kafka-to-stripe", &flags, b"");
    both.failed("kafka-to-stripe", 78, &["STRIPE_SECRET_KEY_FILE", "both set", "hint: "]);

    let nowhere = Place::usual()
        .without("STRIPE_WEBHOOK_SECRET")
        .with("STRIPE_WEBHOOK_SECRET_FILE", "/does/not/exist")
        .run("stripe-hook", &["--to", "-"], b"");
    nowhere.failed("stripe-hook", 78, &["STRIPE_WEBHOOK_SECRET", "/does/not/exist"]);
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    for key in ["pk_test_neverprinted", "sk_test_never printed neverprinted"] {
        let place = Place::usual().with("STRIPE_SECRET_KEY", key);
        for (program, flags) in [
            ("kafka-to-stripe", &["--from", "-", "--to", "-"][..]),
            ("stripe-tail", &["--to", "-"]),
        ] {
            place.run(program, flags, b"").failed(program, 78, &["STRIPE_SECRET_KEY", "hint: "]);
        }
    }
    let live = Place::usual().with("STRIPE_SECRET_KEY", "sk_live_neverprinted").run(
        "kafka-to-stripe",
        &["--from", "-", "--to", "-"],
        b"",
    );
    live.failed("kafka-to-stripe", 78, &["STRIPE_API_BASE", "without encryption"]);
}

#[test]
fn a_database_of_another_kind_is_refused_by_the_name_of_its_setting() {
    for program in ["catalog-api", "hook-to-catalog"] {
        let place = Place::usual().with("DATABASE_URL", "postgres://user:neverprinted@db/catalog");
        let ended = place.run(program, &[], b"");
        ended.failed(program, 78, &["DATABASE_URL", "postgres", "hint: "]);
        let ended = Place::usual().run(program, &["--database", "/no/such/folder/db.sqlite3"], b"");
        ended.failed(program, 78, &["/no/such/folder", "hint: "]);
    }
}

#[test]
fn an_empty_list_of_brokers_is_no_list() {
    for (program, flags) in [
        ("catalog-api", &["--listen", "127.0.0.1:0"][..]),
        ("kafka-to-stripe", &[]),
        ("stripe-hook", &["--listen", "127.0.0.1:0"]),
        ("hook-to-catalog", &[]),
        ("stripe-tail", &[]),
    ] {
        let ended = Place::usual().run(program, &[flags, &["--brokers", " "]].concat(), b"");
        ended.failed(program, 78, &["--brokers", "KAFKA_BOOTSTRAP_SERVERS"]);
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let mut place = Place::usual();
    for name in [
        "DATABASE_URL",
        "CATALOG_OWNERS",
        "CATALOG_DELETES",
        "STRIPE_DELETES",
        "CATALOG_API_CORS_ORIGIN",
        "KAFKA_PARTITIONS",
    ] {
        place = place.with(name, "");
    }
    let ended = place.run("hook-to-catalog", &["--from", "-"], b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(place.dir.path().join("db.sqlite3").exists() && !ended.said().contains("policy"));
    let mut api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    assert!(api.address().starts_with("127.0.0.1:"));
    api.terminate();
    assert_eq!(api.wait().code(), Some(0), "{:#?}", api.stderr());
    assert!(!api.stderr().iter().any(|line| line.contains("policy")), "{:#?}", api.stderr());
}

#[test]
fn a_policy_other_than_the_usual_one_is_said_at_the_start() {
    let place = Place::usual()
        .with("CATALOG_OWNERS", "phone=stripe")
        .with("CATALOG_DELETES", "keep")
        .with("STRIPE_DELETES", "mirror");
    let mut api = place.start("catalog-api", &["--listen", "127.0.0.1:0", "--to", "-"]);
    api.address();
    until("it says so", || {
        let line = "catalog-api: policy: --deletes keep --owner phone=stripe";
        api.stderr().iter().any(|said| said == line).then_some(())
    });
    api.terminate();
    api.wait();
    let ended = place.run("hook-to-catalog", &["--from", "-"], b"");
    let line = "hook-to-catalog: policy: --deletes mirror --owner phone=stripe";
    assert!(ended.stderr.iter().any(|said| said == line), "{}", ended.said());
}

#[test]
fn a_flag_overrides_the_environment_and_that_overrides_the_env_file() {
    let place = Place::bare();
    place.write(".env", "STRIPE_SECRET_KEY=no-key\nDATABASE_URL=from-dotenv.sqlite3\n");
    let flags = ["--from", "-", "--to", "-"];
    place.run("kafka-to-stripe", &flags, b"").failed("kafka-to-stripe", 78, &["STRIPE_SECRET_KEY"]);
    let place = place.with("STRIPE_SECRET_KEY", KEY);
    let ended = place.run("kafka-to-stripe", &flags, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());

    let ended = place.run("hook-to-catalog", &["--from", "-"], b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(place.dir.path().join("from-dotenv.sqlite3").exists());
    let flags = ["--from", "-", "--database", "from-flag.sqlite3"];
    let ended = place.run("hook-to-catalog", &flags, b"");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(place.dir.path().join("from-flag.sqlite3").exists());
}

#[test]
fn nothing_is_said_aloud_that_is_secret_even_at_the_highest_verbosity() {
    let place = Place::usual();
    let mut hook = place.start("stripe-hook", &["--to", "-", "--listen", "127.0.0.1:0", "-vv"]);
    let url = format!("http://{}/stripewebhook", hook.address());
    for body in ["{}", SECRET] {
        let headers = [("stripe-signature", "t=1,v1=00")];
        tests::harness::http::call("POST", &url, &headers, Some(body.as_bytes()));
    }
    until("the refusal is said", || {
        hook.stderr().iter().any(|line| line.contains("refused")).then_some(())
    });
    hook.terminate();
    let status = hook.wait();
    let ended = crate::Ended::of(&hook, status);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    ended.keeps_secrets();

    let change = format!("{}\n", crate::created("a", "Ada"));
    let (place, _sim, _url) = crate::with_stripe();
    let ended =
        place.run("kafka-to-stripe", &["--from", "-", "--to", "-", "-vv"], change.as_bytes());
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    ended.keeps_secrets();
}
