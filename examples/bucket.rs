//! A bucket of S3 in memory behind a link, for measurements: `benches/link.sh` says how.
//!
//! ```text
//! bucket [--delay MILLISECONDS] [--rate BYTES_A_SECOND] [--cut SECONDS]
//! ```
//!
//! Prints the endpoint; then, for each line that it is given, the bytes that went up and came down, the requests and the cuts so
//! far. The delay is that of a round trip. Ends with its input.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use datamon_test_support::{BucketServer, Cut, Link, Weather};

fn main() -> Result<(), Box<dyn Error>> {
    let mut weather = Weather::default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err("bucket [--delay MS] [--rate BYTES] [--cut SECONDS]".into());
        };
        match name.as_str() {
            "--delay" => weather.delay = Duration::from_secs_f64(value.parse::<f64>()? / 2000.0),
            "--rate" => weather.rate = Some(value.parse()?),
            "--cut" => weather.cut = Cut::Every(Duration::from_secs_f64(value.parse()?)),
            other => return Err(format!("{other} is not known").into()),
        }
    }
    let server = BucketServer::start();
    let link = Link::to(server.port(), weather);
    println!("{}", link.url());
    for line in std::io::stdin().lines() {
        line?;
        println!("{} {} {} {}", link.up(), link.down(), server.seen().len(), link.cuts());
    }
    Ok(())
}
