//! `kiln bench` on tables that the tests write.

use std::fmt::Write;
use std::fs;

use kiln_space::Genotype;
use kiln_space::spaces::NasBench201;

use crate::sandbox::Sandbox;

/// Writes every cell, with accuracies, seconds and a latency computed from the genes. Cells without
/// convolutions have no latency.
fn write_cells(sandbox: &Sandbox) {
    let mut accuracies = "index,arch,valid,test,other,seconds\n".to_owned();
    let mut latencies = "index,phone_latency_ms,phone_5g_latency_ms\n".to_owned();
    for index in 0..15_625_u32 {
        let genes: Vec<u8> = (0..6).map(|place| (index / 5_u32.pow(place) % 5) as u8).collect();
        let arch = NasBench201::arch_string(&Genotype::new(genes.clone())).unwrap();
        let convolutions = genes.iter().map(|gene| usize::from(*gene == 3)).sum::<usize>();
        let _ = writeln!(accuracies, "{index},{arch},{},{},{},10", 50 + convolutions, 60 + convolutions, 90);
        let latency = if convolutions == 0 { -1.0 } else { 0.5 * convolutions as f64 };
        let _ = writeln!(latencies, "{index},{latency},-1");
    }
    fs::write(sandbox.path("cells.csv"), accuracies).unwrap();
    fs::write(sandbox.path("latencies.csv"), latencies).unwrap();
}

#[test]
fn bench_compares_strategies_on_table() {
    let sandbox = Sandbox::new("");
    write_cells(&sandbox);
    let table = ["bench", "nasbench201", "--table", "cells.csv", "--signal", "valid", "--report", "test"];
    let time = ["--protocol", "time", "--budget", "601", "--cost", "seconds", "--cost-factor", "2"];
    let more = ["--strategy", "random,regularized_evolution", "--seeds", "4", "--baseline", "random"];
    let all = [&table[..], &time, &more, &["--plot", "curve.svg"]].concat();
    let found = sandbox.kiln(&[&all[..], &["--json"]].concat()).json();
    assert_eq!(found["unit"], "s");
    for strategy in found["strategies"].as_array().unwrap() {
        // The budget is 30 evaluations of 20 seconds each. The optimum has six convolutions, and its test
        // accuracy is ten points higher than its validation accuracy.
        assert_eq!(strategy["evaluations"]["mean"], 30.0, "{strategy}");
        let (regret, report) = (&strategy["regret"]["mean"], &strategy["report"]["mean"]);
        assert!((regret.as_f64().unwrap() + report.as_f64().unwrap() - 66.0).abs() < 1e-9, "{strategy}");
    }
    let against = &found["strategies"][1]["against"][0];
    assert!(against["baseline"] == "random" && against["regret"]["p_better"].is_number(), "{against}");
    assert!(fs::read_to_string(sandbox.path("curve.svg")).unwrap().starts_with("<svg"));
    let text = sandbox.kiln(&all);
    assert!(text.out.contains("regularized_evolution") && text.out.contains("Wilcoxon"), "{}", text.out);

    let hardware =
        ["bench", "hardware", "--table", "cells.csv", "--costs", "latencies.csv", "--signal", "valid"];
    let hardware =
        [&hardware[..], &["--device", "phone", "--strategy", "nsga2", "--seeds", "2", "--budget", "60"]];
    let found = sandbox.kiln(&[hardware[0], hardware[1], &["--json"]].concat()).json();
    let regret = found["strategies"][0]["regret"]["mean"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&regret), "{found}");
    // The other phone's name begins with the first phone's name. The other phone cannot run any cell.
    assert_eq!(found["problem"], "NAS-Bench-201, valid, 4 objectives on phone");
}

#[test]
fn bench_uses_exhaustive_study_as_table() {
    let config = |trials: u32| {
        format!(
            r#"
            study = {{ name = "of-{trials}" }}
            data = {{ kind = "digits" }}
            space = {{ kind = "mlp", layers = [1, 2], width = [4, 8, 12] }}
            hardware = [{{ device = "cortex-a72", latency_max_us = 100000 }}]
            evaluator = {{ kind = "naswot" }}
            search = {{ strategy = "random", trials = {trials}, objectives = ["negative_naswot", "latency_us"] }}
            "#
        )
    };
    let sandbox = Sandbox::new(&config(100));
    assert_eq!(sandbox.search(&[])["trials"], 12);
    let bench = |more: &[&str]| {
        sandbox.kiln(&[&["bench", "study", "--seeds", "3", "--strategy", "random,clustered"], more].concat())
    };
    let whole = bench(&["of-100", "--budget", "12", "--in-flight", "4", "--json"]).json();
    for strategy in whole["strategies"].as_array().unwrap() {
        assert_eq!(
            (&strategy["hit_rate"], &strategy["evaluations"]["mean"]),
            (&1.0.into(), &12.0.into()),
            "{whole}"
        );
    }
    let half = bench(&["of-100", "--budget", "4", "--json"]).json();
    assert!(half["strategies"][0]["regret"]["mean"].as_f64().unwrap() > 0.0, "{half}");
    fs::write(sandbox.path("study.toml"), config(5)).unwrap();
    sandbox.search(&[]);
    let gap = bench(&["of-5", "--budget", "12"]);
    assert!(gap.code == 2 && gap.err.contains("the study has no trial of"), "{}", gap.err);
}

#[test]
fn bench_reads_free_proxies_from_table() {
    let sandbox = Sandbox::new("");
    write_cells(&sandbox);
    // The score equals the accuracy. The first cell has no score.
    let cells = fs::read_to_string(sandbox.path("cells.csv")).unwrap();
    let scores = cells.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        format!("{},{}\n", fields[0], if fields[0] == "0" { "nan" } else { fields[2] })
    });
    fs::write(sandbox.path("scores.csv"), format!("index,score\n{}", scores.collect::<String>())).unwrap();
    let table = ["bench", "nasbench201", "--table", "cells.csv", "--signal", "valid", "--report", "test"];
    let strategies = r#"random,random:{"proxies":{"draw":200,"keep":3}}"#;
    let query = ["--protocol", "queries", "--budget", "5", "--seeds", "8", "--strategy", strategies];
    let proxies = ["--proxies", "scores.csv", "--proxy", "score"];
    let found = sandbox.kiln(&[&table[..], &query, &proxies, &["--baseline", "random", "--json"]].concat());
    let found = found.json();
    let begun = &found["strategies"][1];
    assert_eq!(begun["evaluations"]["mean"], 5.0, "{begun}");
    assert!(begun["against"][0]["regret"]["p_better"].as_f64().unwrap() < 0.01, "{begun}");
    let without = sandbox.kiln(&[&table[..], &query].concat());
    assert!(without.code == 2 && without.err.contains("asks for Proxy of"), "{}", without.err);
    let unknown =
        sandbox.kiln(&[&table[..], &query, &["--proxies", "scores.csv", "--proxy", "zen"]].concat());
    assert!(unknown.code == 2 && unknown.err.contains("no column `zen`"), "{}", unknown.err);
}

#[test]
fn bench_merges_equal_cells() {
    let sandbox = Sandbox::new("");
    write_cells(&sandbox);
    let table = ["bench", "nasbench201", "--table", "cells.csv", "--signal", "valid", "--report", "test"];
    let all =
        ["--protocol", "queries", "--budget", "20000", "--strategy", "random", "--seeds", "1", "--json"];
    let evaluations = |how: &str| {
        let found = sandbox.kiln(&[&table[..], &all, &["--equal-cells", how]].concat()).json();
        assert_eq!(found["strategies"][0]["hit_rate"], 1.0, "{found}");
        found["strategies"][0]["evaluations"]["mean"].as_f64().unwrap()
    };
    // 6,466 cells compute different functions (X. Dong and Y. Yang, NAS-Bench-201, ICLR 2020). Kiln merges
    // cells that also run the same operations.
    assert!((6_466.0..12_000.0).contains(&evaluations("merged")));
    for how in ["apart", "alike"] {
        assert!((evaluations(how) - 15_625.0).abs() < 0.5, "{how}");
    }
}

#[test]
fn bench_mistakes_are_refused() {
    let sandbox = Sandbox::new("");
    write_cells(&sandbox);
    let functions = ["bench", "functions", "--function", "trap", "--budget", "10", "--seeds", "1"];
    let macros = ["bench", "macro", "--seeds", "1", "--strategy", "random", "--table"];
    let hardware =
        ["bench", "hardware", "--table", "cells.csv", "--costs", "latencies.csv", "--signal", "valid"];
    let cells = ["bench", "nasbench201", "--protocol", "queries", "--budget", "5", "--strategy", "random"];
    let of = |table: &'static str, signal: &'static str| {
        [&cells[..], &["--table", table, "--report", "test", "--signal", signal]].concat()
    };
    let whole = fs::read_to_string(sandbox.path("cells.csv")).unwrap();
    fs::write(sandbox.path("text.csv"), whole.replacen(",50,", ",good,", 1)).unwrap();
    // The beginning of a gzip file: ten bytes of header and the first byte of a block.
    fs::write(sandbox.path("cut.csv.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]).unwrap();
    fs::write(
        sandbox.path("gap.csv"),
        "arch,valid,test\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,9,9\n",
    )
    .unwrap();
    let time = ["--protocol", "time", "--cost", "seconds"];
    let cases: [(Vec<&str>, &str); 15] = [
        (of("cells.csv", "accuracy"), "cells.csv: no column `accuracy`; there are `index`, `arch`, `valid`"),
        (of("text.csv", "valid"), "text.csv:2: `valid` is `good`, expected a finite number"),
        (of("cut.csv.gz", "valid"), "cut.csv.gz: the gzip file ends too early or is damaged"),
        (of("gap.csv", "valid"), "the table has no `valid` for "),
        ([&of("cells.csv", "valid")[..], &["--seeds", "0"]].concat(), "`seeds` is 0, expected 1 to 1000000"),
        (
            [&of("cells.csv", "valid")[..], &["--baseline", "nsga2"]].concat(),
            "`baseline` is `nsga2`, expected one of",
        ),
        ([&of("cells.csv", "valid")[..], &["--alpha", "2"]].concat(), "`alpha` is 2, expected a level"),
        (
            [&functions[..], &["--strategy", "random", "--decisions", "0"]].concat(),
            "`decisions` is 0, expected",
        ),
        ([&functions[..], &["--strategy", "random,,nsga2"]].concat(), "the name is missing"),
        (
            [
                &["bench", "nasbench201", "--budget", "nan", "--strategy", "random", "--table", "cells.csv"],
                &time[..],
                &["--signal", "valid", "--report", "test"],
            ]
            .concat(),
            "`budget` is NaN, expected a positive number",
        ),
        ([&functions[..], &["--strategy", "randon"]].concat(), "expected one of `asha`"),
        ([&functions[..], &["--strategy", "clustered:{"]].concat(), "settings are not JSON"),
        ([&macros[..], &["none.csv"]].concat(), "none.csv: cannot read the table"),
        ([&macros[..], &["latencies.csv"]].concat(), "latencies.csv: no column `arch`; there are `index`"),
        (
            [&hardware[..], &["--device", "watch", "--strategy", "random"]].concat(),
            "latencies.csv: no column `watch_...`; there are `index`, `phone_latency_ms`, \
             `phone_5g_latency_ms`",
        ),
    ];
    for (arguments, expected) in cases {
        let said = sandbox.kiln(&arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    }
}
