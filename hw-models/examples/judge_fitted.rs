use kiln_hw_models::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    // table targets train draws known chosen transfer [testtable]
    let d = std::env::var("KILN_DATA").unwrap();
    let f = MeasurementFile {
        path: format!("{d}/{}", a[1]).into(),
        key: "arch".into(),
        key_file: Some(KeyFile {
            path: format!("{d}/nasbench201/nasbench201.csv.gz").into(),
            on: "index".into(),
        }),
        latency_column: String::new(),
        unit: LatencyUnit::Ms,
    };
    let r = Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 1);
    for t in a[2].split(',') {
        let f = MeasurementFile { latency_column: t.to_owned(), ..f.clone() };
        let known: Vec<String> =
            a[5].split(',').filter(|k| !k.is_empty() && &*k != t).map(str::to_owned).collect();
        let t0 = std::time::Instant::now();
        let tr = Transfer::named(&a[7].split(',').collect::<Vec<_>>()).unwrap();
        let table = EvaluationTable::read(&f, &known, &kiln_space::spaces::NasBench201::default(), &r)
            .unwrap()
            .with_transfer(&tr, OwnPredictor::LeftOut);
        println!("transfer {:?}", table.transfer().names());
        let read = t0.elapsed();
        let e = Evaluation {
            train: a[3].split(',').map(|x| x.parse().unwrap()).collect(),
            draws: a[4].parse().unwrap(),
            seed: 0,
            chosen: a[6] == "chosen",
            pool: None,
            test: None,
            trim: None,
        };
        for row in e.run(&table).unwrap() {
            println!(
                "{t} {} {:16} sp {:.3} (p10 {:.3}) tau {:.3} w5 {:.3} w10 {:.3} cov {:.3} width {:.3}",
                row.train,
                row.model,
                row.spearman.mean,
                row.spearman.p10,
                row.kendall.mean,
                row.within_5_percent.mean,
                row.within_10_percent.mean,
                row.coverage_90.map_or(0., |x| x.mean),
                row.width_90.map_or(0., |x| x.mean)
            );
        }
        println!("read {read:?} all {:?}", t0.elapsed());
    }
}
