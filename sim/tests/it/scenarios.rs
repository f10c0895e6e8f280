//! The embedded scenarios pass.

use crate::support::{assert_ok, run, scenario};

macro_rules! scenarios {
    ($($name:ident: $file:literal,)*) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../../../kette/presets/scenarios/", $file, ".toml"));
            let scenario = scenario(text);
            let seed = scenario.file.network.seed;
            assert_ok($file, &run(&scenario, seed));
        }
    )*};
}

scenarios! {
    fork1: "fork1",
    fork2: "fork2",
    fork3: "fork3",
    fork4: "fork4",
    churn: "churn",
    geo: "geo",
    partition: "partition",
    byzantine: "byzantine",
    disk: "disk",
    clock: "clock",
}
