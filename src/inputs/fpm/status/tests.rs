use proptest::prelude::*;

use super::*;

/// As PHP-FPM 8.2.36 prints it.
const HEAD: &str = r#"{"pool":"www","process manager":"static","start time":1795267000,"start since":7,"accepted conn":3,"listen queue":1,"max listen queue":2,"listen queue len":511,"idle processes":1,"active processes":1,"total processes":2,"max active processes":1,"max children reached":0,"slow requests":4"#;

fn worker(pid: u32, state: &str, duration: &str, uri: &str, user: &str) -> String {
    format!(
        r#"{{"pid":{pid},"state":"{state}","start time":1795267000,"start since":7,"requests":2,"request duration":{duration},"request method":"GET","request uri":"{uri}","content length":0,"user":"{user}","script":"/srv/a.php","last request cpu":0.00,"last request memory":0}}"#
    )
}

fn full(workers: &[String]) -> String {
    format!(r#"{HEAD}, "processes":[{}]}}"#, workers.join(","))
}

fn response(stdout: impl AsRef<[u8]>) -> Response {
    Response { stdout: stdout.as_ref().to_vec(), stderr: Vec::new() }
}

fn understood(body: &str) -> Result<FpmStatus, StatusReason> {
    let page = format!("Content-type: application/json\r\nExpires: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{body}");
    understand(&response(page), Some(10)).map_err(|failed| failed.reason)
}

fn counts(body: &str) -> Option<ProcessCounts> {
    understood(body).unwrap().processes
}

#[test]
fn the_short_page_is_read() {
    let status = understood(&format!("{HEAD}}}")).unwrap();
    assert_eq!(
        status,
        FpmStatus {
            start_time: Some(1_795_267_000),
            accepted: Some(3),
            max_children_reached: Some(0),
            slow_requests: Some(4),
            listen_queue: Some(1),
            max_listen_queue: Some(2),
            listen_queue_limit: Some(511),
            idle: Some(1),
            active: Some(1),
            total: Some(2),
            max_active: Some(1),
            ..FpmStatus::default()
        }
    );
    assert_eq!(understood(&format!(r#"{HEAD},"memory peak":2097152}}"#)).unwrap().memory_peak, Some(2_097_152));
    assert_eq!(understood(&HEAD.replace(",\"", " ,\n \"").replace(':', " : ")), Err(StatusReason::BadReply));
    assert!(understood(&format!("{}\n}}\n", HEAD.replace(",\"", " ,\n \"").replace("\":", "\" : "))).is_ok());
}

#[test]
fn workers_are_recounted_and_the_oldest_request_is_told() {
    let status = understood(&full(&[
        worker(1, "Idle", "99000000", "/", "-"),
        worker(2, "Running", "1500000", "/", "-"),
        worker(3, "Finishing", "18446744073709551615", "/", "-"),
        worker(4, "Getting request informations", "10", "/", "-"),
        worker(5, "Getting request information", "10", "/", "-"),
        worker(6, "Reading headers", "10", "/", "-"),
        worker(7, "Ending", "10", "/", "-"),
        worker(8, "Dreaming", "10", "/", "-"),
    ]))
    .unwrap();
    assert_eq!((status.idle, status.active, status.total), (Some(1), Some(7), Some(8)));
    let counts = status.processes.unwrap();
    assert_eq!(counts.states, [1, 1, 2, 1, 1, 1, 1]);
    assert_eq!(counts.longest_request, Some(Duration::from_millis(1_500)));
}

#[test]
fn an_idle_pool_has_no_oldest_request() {
    assert_eq!(counts(&full(&[worker(1, "Idle", "5", "/", "-")])).unwrap().longest_request, None);
    assert_eq!(counts(&full(&[])), Some(ProcessCounts::default()));
}

#[test]
fn what_requests_bring_does_not_break_the_page() {
    for hostile in [
        "/\"",
        "/\"}",
        "/\"},{",
        "/\\",
        "/\u{1}\u{7f}\n",
        "/\"last request memory\":0}",
        "/\"last request memory\":0},",
        "/\"last request memory\":0},{\"pod\":1",
        "/\",\"user\":\"x\"}]}",
        "/\",\"state\":\"Idle\",\"pid\":9,\"x\":\"",
        "/{\"pid\":1,\"state\":\"Idle\"",
    ] {
        for page in [
            full(&[worker(1, "Running", "5", hostile, "-"), worker(2, "Idle", "5", "/", hostile)]),
            full(&[worker(2, "Idle", "5", hostile, hostile), worker(1, "Running", "5", "/", "-")]),
        ] {
            let counts = counts(&page).unwrap_or_else(|| panic!("{hostile}"));
            assert_eq!((counts.idle(), counts.active()), (1, 1), "{hostile}");
        }
    }
}

#[test]
fn forged_workers_count_once_or_the_list_is_not_believed() {
    let forged = |pid: u32| format!(r#""last request memory":0}},{}"#, worker(pid, "Running", "1", "/", "-"));
    let twice = full(&[worker(1, "Running", "5", &forged(1), "-"), worker(2, "Idle", "5", "/", "-")]);
    assert!(counts(&twice).is_none_or(|counts| counts.total() == 2));
    let many: String = (10..30).map(forged).collect();
    let page = full(&[worker(1, "Running", "5", &many, "-"), worker(2, "Idle", "5", "/", "-")]);
    let status = understood(&page).unwrap();
    assert_eq!((status.processes, status.total), (None, Some(2)));
}

#[test]
fn where_the_list_makes_no_sense_the_numbers_of_the_pool_stand() {
    let page = full(&[worker(1, "Running", "5", "/", "-"), worker(2, "Idle", "5", "/", "-")]);
    let list = page.find("[").unwrap();
    for cut in list..page.len() - 1 {
        let status = understood(page.get(..cut).unwrap()).unwrap_or_else(|reason| panic!("{cut}: {reason}"));
        assert_eq!((status.total, status.accepted), (Some(2), Some(3)), "{cut}");
        if cut < page.len() - 2 {
            assert_eq!(status.processes, None, "{cut}");
        }
    }
}

#[test]
fn half_a_page_is_no_page() {
    for cut in 0..HEAD.len() {
        assert_eq!(understood(HEAD.get(..cut).unwrap()), Err(StatusReason::BadReply), "{cut}");
    }
}

#[test]
fn numbers_that_are_none_are_left_out() {
    let page = HEAD
        .replace("\"idle processes\":1", "\"idle processes\":-1")
        .replace("slow requests\":4", "slow requests\":1e3");
    assert_eq!(understood(&format!("{page}}}")), Err(StatusReason::BadReply));
    let page = HEAD.replace("\"idle processes\":1", "\"idle processes\":-1").replace(":4", ":99999999999999999999999");
    let status = understood(&format!("{page}}}")).unwrap();
    assert_eq!((status.idle, status.slow_requests, status.active), (None, None, Some(1)));
}

#[test]
fn what_is_no_status_page_has_its_reason() {
    for (stdout, reason) in [
        ("Status: 403 Forbidden\r\nContent-type: text/html\r\n\r\nAccess denied.\n", StatusReason::AccessDenied),
        ("Status: 404 Not Found\r\n\r\nFile not found.\n", StatusReason::FileNotFound),
        ("Status: 404 Not Found\r\nX: y\r\n\r\n", StatusReason::Empty404),
        ("status:503\n\nServer busy. Please try again later.", StatusReason::Busy),
        ("Status: 500 x\r\n\r\nInternal error. Please review log file for errors.", StatusReason::InternalError),
        ("Status: 500 x\r\n\r\n<b>Fatal error</b>", StatusReason::BadReply),
        ("Status: 302 Found\r\nLocation: /\r\n\r\n", StatusReason::BadReply),
        ("Content-type: text/html\r\n\r\n<html>", StatusReason::BadReply),
        ("Status: ?\r\n\r\n", StatusReason::BadReply),
        ("pong", StatusReason::BadReply),
        ("", StatusReason::BadReply),
        ("\r\n\r\n{}", StatusReason::BadReply),
        ("\r\n{\"pool\":\"www\"}", StatusReason::BadReply),
    ] {
        assert_eq!(understand(&response(stdout), None).unwrap_err().reason, reason, "{stdout:?}");
    }
    let denied = Response { stdout: b"Status: 404\r\n\r\n".to_vec(), stderr: b"Primary script unknown".to_vec() };
    assert_eq!(understand(&denied, None).unwrap_err().detail, "404: Primary script unknown");
}

proptest! {
    #[test]
    fn any_bytes_are_understood_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(understand(&response(bytes), None));
    }

    #[test]
    fn any_uri_and_user_leave_the_counts_as_they_are(uri in ".{0,128}", user in ".{0,32}") {
        let page = full(&[worker(1, "Running", "5", &uri, &user), worker(2, "Idle", "5", &user, &uri)]);
        let counts = counts(&page).unwrap();
        prop_assert_eq!((counts.idle(), counts.active()), (1, 1));
    }

    #[test]
    fn a_page_with_anything_cut_or_changed_is_no_panic(at in 0usize..1_000, byte in any::<u8>(), cut in 0usize..1_000) {
        let mut page = full(&[worker(1, "Running", "5", "/", "-"), worker(2, "Idle", "5", "/", "-")]).into_bytes();
        if let Some(place) = page.get_mut(at) {
            *place = byte;
        }
        page.truncate(cut);
        let _ = super::page(&page, Some(5));
    }
}
