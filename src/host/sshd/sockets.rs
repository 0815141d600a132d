//! The TCP ports at which a process listens, as the kernel knows them.

use std::fs;
use std::path::Path;

use super::process::ProcFolder;
use crate::files::head_of_regular;

/// Tables of TCP sockets (`proc_pid_net(5)`). They begin with the sockets that listen.
const TABLES: [&str; 2] = ["net/tcp", "net/tcp6"];

/// Maximum number of bytes of a table that are read.
const MAX_TABLE: usize = 4 * 1024 * 1024;

/// Maximum number of descriptors of a process that are looked at.
const MAX_DESCRIPTORS: usize = 4096;

/// The ports at which the process `pid` listens, each once, in the order of its sockets. Empty if they are unknown: only
/// root sees the descriptors of root's processes.
#[must_use]
pub fn listening_ports(pid: u32) -> Vec<u16> {
    let folder = format!("/proc/{pid}");
    let Ok(process) = ProcFolder::open(Path::new(&folder)) else { return Vec::new() };
    let tables =
        TABLES.map(|table| String::from_utf8_lossy(&process.file(table).unwrap_or_default()).into_owned());
    let listening: Vec<_> = tables.iter().flat_map(|table| table.lines()).filter_map(listener).collect();
    let descriptors = fs::read_dir(format!("{folder}/fd")).into_iter().flatten().filter_map(Result::ok);
    let mut ports = Vec::new();
    for descriptor in descriptors.take(MAX_DESCRIPTORS) {
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        let Some(inode) = inode(&target.to_string_lossy()) else { continue };
        let found = listening.iter().find(|(_, socket)| *socket == inode);
        ports.extend(found.map(|(port, _)| *port).filter(|port| !ports.contains(port)));
    }
    ports
}

/// Whether a process listens at this port, on any address.
#[must_use]
pub fn is_listened_at(port: u16) -> bool {
    let table =
        |name: &str| head_of_regular(&Path::new("/proc/self").join(name), MAX_TABLE).unwrap_or_default();
    TABLES.iter().any(|name| {
        let table = table(name);
        String::from_utf8_lossy(&table).lines().filter_map(listener).any(|(found, _)| found == port)
    })
}

/// The inode in `socket:[INODE]`.
fn inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The port and the inode of a line, if the socket listens (state 0A).
fn listener(line: &str) -> Option<(u16, u64)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
    let (_, port) = local.rsplit_once(':')?;
    (*state == "0A").then_some(())?;
    Some((u16::from_str_radix(port, 16).ok()?, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn port_of_this_process_is_found_once() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let copy = socket.try_clone().unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listening_ports(std::process::id());
        assert_eq!(found.iter().filter(|found| **found == port).count(), 1, "{found:?}");
        assert!(is_listened_at(port));
        // A process that another test starts meanwhile has the socket too, until it executes its program. So closing it is not
        // enough.
        TcpStream::from(OwnedFd::from(copy)).shutdown(Shutdown::Both).unwrap();
        assert!(!is_listened_at(port));
        assert_eq!(listening_ports(0), [0; 0]);
    }

    #[test]
    fn only_sockets_that_listen_are_read() {
        let end =
            "00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listener(&format!("   0: 0100007F:0016 00000000:0000 0A {end}")), Some((22, 4711)));
        assert_eq!(listener(&format!("   0: 0100007F:0016 0100007F:B3A2 01 {end}")), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
        assert_eq!((inode("socket:[12]"), inode("/dev/null"), inode("pipe:[12]")), (Some(12), None, None));
    }
}
