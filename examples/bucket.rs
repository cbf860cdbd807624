//! A bucket of S3 in memory behind a link, or any other server behind it, for measurements: `benches/link.py` and
//! `benches/compare.py` use it.
//!
//! ```text
//! bucket [--to PORT] [--delay MILLISECONDS] [--rate BYTES_A_SECOND] [--cut SECONDS]
//! ```
//!
//! The link leads to the port of this machine, else to a bucket in the memory of this program. Prints the endpoint; then, for each line that it is given, the bytes that went up and came down, the requests and the cuts so
//! far. The delay is that of a round trip. Ends with its input.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use datamon_test_support::{BucketServer, Cut, Link, Weather};

fn main() -> Result<(), Box<dyn Error>> {
    let mut weather = Weather::default();
    let mut to = None;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err("bucket [--to PORT] [--delay MS] [--rate BYTES] [--cut SECONDS]".into());
        };
        match name.as_str() {
            "--to" => to = Some(value.parse()?),
            "--delay" => weather.delay = Duration::from_secs_f64(value.parse::<f64>()? / 2000.0),
            "--rate" => weather.rate = Some(value.parse()?),
            "--cut" => weather.cut = Cut::Every(Duration::from_secs_f64(value.parse()?)),
            other => return Err(format!("{other} is not known").into()),
        }
    }
    let link = Link::to(to.unwrap_or_else(|| BucketServer::start().port()), weather);
    println!("{}", link.url());
    for line in std::io::stdin().lines() {
        line?;
        println!("{} {} {} {}", link.up(), link.down(), link.requests(), link.cuts());
    }
    Ok(())
}
