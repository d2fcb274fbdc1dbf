//! Broken run folders and model files.

use std::fs;

use super::{Case, changed, check};
use crate::sandbox::{Sandbox, set, tiny_quickstart};

/// The file of an audit without networks.
const AUDIT: &str = r#"{"version": 2, "epochs": null, "audit": {"metric": "error_percent", "networks": [],
    "predictors": [{"name": "macs", "correlation": {"tau": 0.5, "low": 0.0, "high": 1.0}}]}}"#;

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn broken_run_folders_and_model_files_are_refused() {
    let mut config = tiny_quickstart("tiny");
    set(&mut config, "data", "limit", 300.into());
    let sandbox = Sandbox::new(&config.to_string());
    let report = sandbox.search(&[]);
    let trial = report["finished"][0]["trial"].to_string();
    let journal_file = sandbox.run("tiny").journal();
    let journal = fs::read_to_string(&journal_file).unwrap();
    let lines: Vec<&str> = journal.lines().collect();
    let with_line = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        (lines.join("\n") + "\n").into_bytes()
    };
    let model_file = format!("runs/tiny/models/{trial}/model.kiln");
    let model = fs::read(sandbox.path(&model_file)).unwrap();
    let flipped = |at: usize| {
        let mut model = model.clone();
        model[at] ^= 0x40;
        model
    };
    let kept = fs::read(sandbox.path("runs/tiny/config.toml")).unwrap();
    let kept_text = String::from_utf8(kept).unwrap();
    let front = || vec!["front", "tiny"];
    let show = vec!["show", "tiny", trial.as_str()];
    let search = || vec!["search", "study.toml"];
    let export = || vec!["export", "tiny", trial.as_str(), "--format", "onnx", "--out", "out.onnx"];
    let eval = || vec!["eval", "copy.kiln"];
    let journal_name = "runs/tiny/journal.jsonl";
    let kept_name = "runs/tiny/config.toml";
    let case = |what, arguments, file, bytes, expected| Case {
        what,
        arguments,
        files: vec![(file, bytes)],
        expected,
    };
    let cases = [
        case(
            "a journal line that is no JSON",
            front(),
            journal_name,
            with_line(3, "{"),
            &["journal.jsonl:3: damaged"][..],
        ),
        case(
            "a journal line of something else",
            show,
            journal_name,
            with_line(3, "{\"a\": 1}"),
            &["journal.jsonl:3: damaged"],
        ),
        case(
            "an empty journal line",
            search(),
            journal_name,
            with_line(3, ""),
            &["journal.jsonl:3: damaged"],
        ),
        case(
            "a cut journal line",
            search(),
            journal_name,
            with_line(4, &lines[3][..lines[3].len() / 2]),
            &["journal.jsonl:4: damaged"],
        ),
        case(
            "a journal that is no text",
            front(),
            journal_name,
            [vec![0xff; 200], vec![b'\n']].concat(),
            &["journal.jsonl:1: damaged"],
        ),
        case(
            "a run's config that is no TOML",
            front(),
            kept_name,
            b"[study".to_vec(),
            &["runs/tiny/config.toml:1:"],
        ),
        case(
            "a run's config that is no UTF-8",
            front(),
            kept_name,
            b"[study]\nname = \"\xe9\"\n".to_vec(),
            &["runs/tiny/config.toml:2: byte 16 of the file is not UTF-8"],
        ),
        case(
            "a run's config that is no UTF-8, gone on with",
            search(),
            kept_name,
            b"\xff\xfe[\0".to_vec(),
            &["runs/tiny/config.toml:1: byte 0 of the file is not UTF-8"],
        ),
        case("a run's empty config", front(), kept_name, Vec::new(), &["runs/tiny/config.toml"]),
        case(
            "a run's other config",
            search(),
            kept_name,
            changed(&kept_text, "seed = 1", "seed = 2"),
            &["runs/tiny/config.toml: damaged (it was changed", "`study.seed` is `2` there, and `1` in"],
        ),
        case(
            "a run's config of other data",
            search(),
            kept_name,
            changed(&kept_text, "\ndata = \"", "\ndata = \"0"),
            &["it was changed since Kiln wrote it: `resolved.data` is"],
        ),
        case("an emptied model", export(), &model_file, Vec::new(), &["model.kiln: is 0 bytes long, but"]),
        case(
            "a model that is another than was finished",
            export(),
            &model_file,
            flipped(model.len() - 100),
            &["model.kiln: was changed since it was written", "to finish the network again"],
        ),
        case("an empty model", eval(), "copy.kiln", Vec::new(), &["copy.kiln`", "byte 0"]),
        case(
            "half a model",
            eval(),
            "copy.kiln",
            model[..model.len() / 2].to_vec(),
            &["copy.kiln`", "the file ends early"],
        ),
        case(
            "a model with a turned bit",
            eval(),
            "copy.kiln",
            flipped(model.len() - 100),
            &["copy.kiln`", "checksum"],
        ),
        case(
            "a description with a turned bit",
            eval(),
            "copy.kiln",
            flipped(200),
            &["copy.kiln`", "checksum"],
        ),
        case("a newer model", eval(), "copy.kiln", flipped(8), &["copy.kiln`", "version"]),
        case(
            "a longer model",
            eval(),
            "copy.kiln",
            [&model[..], b"more"].concat(),
            &["copy.kiln`", "after the last one"],
        ),
        case(
            "another kind of file",
            eval(),
            "copy.kiln",
            b"PK\x03\x04 and so on and on and on".to_vec(),
            &["copy.kiln`", "it is not a model file"],
        ),
        case(
            "an audit that is no JSON",
            vec!["report", "tiny"],
            "runs/tiny/audit.json",
            b"{\"version\": 1, \"epochs\": null, ".to_vec(),
            &["runs/tiny/audit.json: damaged (EOF", "kiln supernet audit"],
        ),
        case(
            "an audit of a newer program",
            vec!["report", "tiny"],
            "runs/tiny/audit.json",
            changed(AUDIT, "2", "7"),
            &["runs/tiny/audit.json: damaged (unknown format version 7"],
        ),
        case(
            "an audit with an impossible tau",
            vec!["report", "tiny"],
            "runs/tiny/audit.json",
            changed(AUDIT, "0.5", "1.5"),
            &["runs/tiny/audit.json: damaged (tau of `macs`"],
        ),
        case(
            "a trained network of an audit that is no JSON",
            vec!["supernet", "audit", "tiny", "--networks", "2"],
            "runs/tiny/audit.jsonl",
            b"{\n".to_vec(),
            &["runs/tiny/audit.jsonl:1: "],
        ),
        Case {
            what: "no such run",
            arguments: vec!["front", "none"],
            files: vec![],
            expected: &["none: not a run folder"],
        },
        Case {
            what: "no such trial",
            arguments: vec!["show", "tiny", "99999"],
            files: vec![],
            expected: &["there is no trial 99999"],
        },
        Case {
            what: "no such format",
            arguments: vec!["export", "tiny", trial.as_str(), "--format", "onx"],
            files: vec![],
            expected: &["there is no export format `onx`"],
        },
    ];
    check(&sandbox, &cases);
    assert!(!sandbox.path("out.onnx").exists());
    // The study itself is undamaged.
    assert_eq!(sandbox.search(&[])["front"], report["front"]);
}
