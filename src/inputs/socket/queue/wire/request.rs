//! What is asked of the kernel: `struct unix_diag_req`, `struct inet_diag_req`.

use super::{
    AF_UNIX, HEADER, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK,
    TCP_LISTEN, Table,
};

const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
/// The kernel tries one port after the other: with more it is faster to look at every row here.
const MAX_FILTERED: usize = 64;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const UNIX_STATES: u32 = 1 << TCP_ESTABLISHED | 1 << TCP_LISTEN;
const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_VFS: u32 = 0x2;
const UDIAG_SHOW_PEER: u32 = 0x4;
const UDIAG_SHOW_RQLEN: u32 = 0x10;

/// States in which a process may hold a TCP socket that serves somebody. `TIME_WAIT` and half-open ones are nobody's.
const TCP_STATES: u32 = 1 << TCP_ESTABLISHED
    | 1 << TCP_FIN_WAIT1
    | 1 << TCP_FIN_WAIT2
    | 1 << TCP_CLOSE_WAIT
    | 1 << TCP_LAST_ACK
    | 1 << TCP_LISTEN
    | 1 << TCP_CLOSING;

/// The request for a table.
pub(in super::super) fn request(table: Table<'_>, sequence: u32) -> Vec<u8> {
    match table {
        Table::Unix => {
            // struct unix_diag_req
            let show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN;
            let words = [UNIX_STATES, 0, show, 0, 0].map(u32::to_ne_bytes).concat();
            message(SOCK_DIAG_BY_FAMILY, sequence, &[&[AF_UNIX, 0, 0, 0], &*words].concat())
        }
        Table::Tcp(ports) => {
            // struct inet_diag_req: the older of the two, which alone asks for both families, and what ss(8) sends.
            let mut body = [&[0; 52][..], &TCP_STATES.to_ne_bytes(), &[0; 4]].concat();
            if ports.len() <= MAX_FILTERED {
                let filter = filter(ports);
                let length = u16::try_from(4 + filter.len()).unwrap_or(u16::MAX);
                body.extend([length, INET_DIAG_REQ_BYTECODE].map(u16::to_ne_bytes).concat());
                body.extend(filter);
            }
            message(TCPDIAG_GETSOCK, sequence, &body)
        }
    }
}

/// The program that keeps rows with one of these ports at either end: `struct inet_diag_bc_op`, run by
/// `inet_diag_bc_run` in `net/ipv4/inet_diag.c`. A jump to its very end keeps the row, one further drops it.
pub(in super::super) fn filter(ports: &[u16]) -> Vec<u8> {
    const JUMP: u8 = 1;
    const AT_LEAST_AT_MOST: [(u8, u8); 2] = [(2, 3), (4, 5)];
    const LENGTH: u16 = 20;
    let op = |code: u8, then: u8, otherwise: u16| {
        let [low, high] = otherwise.to_ne_bytes();
        [code, then, low, high]
    };
    let tests: Vec<_> = ports.iter().flat_map(|port| AT_LEAST_AT_MOST.map(|codes| (codes, *port))).collect();
    let after = (0..tests.len()).rev().map(|left| u16::try_from(left).unwrap_or(u16::MAX).saturating_mul(LENGTH));
    let parts = tests.iter().zip(after).flat_map(|(((at_least, at_most), port), after)| {
        let past = if after == 0 { 4 } else { 0 };
        let keep = op(JUMP, 4, 4 + after);
        [op(*at_least, 8, LENGTH + past), op(0, 0, *port), op(*at_most, 8, LENGTH - 8 + past), op(0, 0, *port), keep]
    });
    parts.flatten().collect()
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let kind_and_flags = [kind, NLM_F_REQUEST | NLM_F_DUMP].map(u16::to_ne_bytes).concat();
    [&length.to_ne_bytes(), &*kind_and_flags, &sequence.to_ne_bytes(), &[0; 4], body].concat()
}
