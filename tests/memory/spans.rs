//! Spans of one request, from a file to what waits for a flush. The bench measures the same.

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use bottlecap::{
    config::Config,
    ingest::trace_agent::{self, TraceAgentListener, TracerData},
    platform::Environment,
    process::{
        tags::FunctionTags,
        trace::{Output, Pipeline, TraceSettings, stats::Keys},
    },
};
use matrix::sandbox::{intake::Span, tracer};

/// The memory that a queued request takes, in bytes.
pub struct QueuedSizes {
    /// How many spans wait.
    pub spans: usize,
    pub request: usize,
    pub payload: usize,
    /// What the process has grown by when the payload waits.
    pub waiting: usize,
    /// The most that it has grown by meanwhile.
    pub most: usize,
}

/// Where the id of a span is, in an encoded one.
const PLACE_OF_ID: u64 = 0xCAFE_0000_0000_0001;

/// Writes the body of a request for v0.4 with one trace of so many spans, without ever having it in memory.
pub fn write(file: &File, count: usize) {
    let mut file = BufWriter::new(file);
    let length = u32::try_from(count).unwrap().to_be_bytes();
    // An array of one trace, and an array with the number of its elements in four bytes.
    file.write_all(&[0x91, 0xdd]).unwrap();
    file.write_all(&length).unwrap();
    let span = Span {
        service: "shop-checkout".to_owned(),
        name: "http.request".to_owned(),
        resource: "GET /api/v2/orders".to_owned(),
        trace_id: 1,
        span_id: PLACE_OF_ID,
        start: 1_790_000_000_000_000_000,
        duration: 900_000,
        // Short ones: the less their texts take, the more is what else a span takes in memory.
        meta: [("http.status_code".to_owned(), "200".to_owned())].into(),
        ..Span::default()
    };
    // Without the heads of the two arrays around it.
    let heads = tracer::v04(&[Vec::new()]).len();
    let mut span = tracer::v04(&[vec![span]]).split_off(heads);
    let place = span.windows(8).position(|bytes| bytes == PLACE_OF_ID.to_be_bytes()).unwrap();
    for number in 0..count as u64 {
        // A number that takes eight bytes too.
        span[place..place + 8].copy_from_slice(&(PLACE_OF_ID + number).to_be_bytes());
        file.write_all(&span).unwrap();
    }
    file.flush().unwrap();
}

/// Sends a body from a file to the trace agent, and measures what waits to leave then.
pub fn queue(body: &Path) -> QueuedSizes {
    // Source: proc(5), `/proc/pid/clear_refs`: 5 sets the peak back to what is resident now.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    // Pages of the program, which are read at their first use, are no memory of the spans'.
    let (before, peak_before) = (status("RssAnon"), status("VmRSS"));
    let output = receive(body);
    QueuedSizes {
        spans: output.payloads.iter().map(|payload| payload.spans).sum(),
        request: usize::try_from(fs::metadata(body).unwrap().len()).unwrap(),
        payload: output.payloads.iter().map(|payload| payload.bytes().len()).sum(),
        waiting: status("RssAnon").saturating_sub(before),
        most: status("VmHWM").saturating_sub(peak_before),
    }
}

/// A number of bytes from the kernel's description of this process.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn receive(body: &Path) -> Output {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let body = body.to_owned();
    let client = thread::spawn(move || {
        let mut file = File::open(body).unwrap();
        let length = file.metadata().unwrap().len();
        let mut connection = TcpStream::connect(address).unwrap();
        let head =
            format!("PUT /v0.4/traces HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        std::io::copy(&mut file, &mut connection).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tags = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    let (pipeline, _) = Pipeline::new(TraceSettings::default(), &tags, Keys::default());
    let (agent, mut trace_queue) = trace_agent::Agent::new(Arc::new(pipeline), Arc::default());
    runtime.block_on(async { TraceAgentListener::from_handover(socket).serve(agent) }).unwrap();
    let received = runtime.block_on(async {
        // The request is in the queue by the time it is answered. Nothing here holds up the listener, which runs on this thread.
        tokio::task::spawn_blocking(|| client.join().unwrap()).await.unwrap();
        trace_queue.recv().await
    });
    match received {
        Some(TracerData::Traces(output)) => *output,
        other => unreachable!("{other:?}"),
    }
}
