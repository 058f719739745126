//! Charts and page, drawn from made-up records.

mod synthetic;

use samepath_results::chart;

#[test]
fn scratch() {
    let dir = std::path::Path::new("/tmp/D/run");
    let _ = std::fs::remove_dir_all(dir);
    let run = synthetic::run(dir, synthetic::HEAD_OF_LINE, synthetic::all_done);
    println!("{:?}", samepath_results::report::draw(&run).unwrap());
    let cells = samepath_results::cells(&run);
    for shown in chart::draw_all(&run, &cells).unwrap() {
        match shown {
            chart::Shown::Drawn(d) => {
                println!("{} {}", d.stem, d.svg.len());
                std::fs::write(format!("/tmp/D/{}.svg", d.stem), &d.svg).unwrap();
            }
            other => println!("{other:?}"),
        }
    }
}
