import CLinux
import Glibc

/// The two protocols of systemd: sd_notify(3) and sd_listen_fds(3).
enum ServiceManager {
    /// The first descriptor that a service manager hands over.
    private static let firstDescriptor: Int32 = 3

    /// Listening sockets handed over by socket activation, in their order; they replace the first listeners' own
    /// sockets.
    static func inheritedDescriptors() -> [Int32] {
        guard let processText = getenv("LISTEN_PID"), let process = Int32(String(cString: processText)),
            process == getpid(),
            let countText = getenv("LISTEN_FDS"), let count = Int32(String(cString: countText)), count > 0, count < 1024
        else { return [] }
        unsetenv("LISTEN_PID")
        unsetenv("LISTEN_FDS")
        let descriptors = (0..<count).map { firstDescriptor + $0 }
        for descriptor in descriptors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        return descriptors
    }

    /// Sends a state to the service manager; without one nothing happens.
    static func notify(_ state: String) {
        guard let text = getenv("NOTIFY_SOCKET") else { return }
        var path = Array(String(cString: text).utf8)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard !path.isEmpty, path.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // A leading @ stands for the NUL of the abstract namespace.
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var message = Array(state.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                _ = sendto(descriptor, &message, message.count, Int32(MSG_NOSIGNAL), generic, length)
            }
        }
    }

    /// The interval in which the service manager wants to hear from this process; nil = it does not.
    static func watchdogMicroseconds() -> UInt64? {
        guard let text = getenv("WATCHDOG_USEC"), let interval = UInt64(String(cString: text)), interval > 0 else {
            return nil
        }
        if let process = getenv("WATCHDOG_PID"), Int32(String(cString: process)) != getpid() { return nil }
        return interval
    }
}
