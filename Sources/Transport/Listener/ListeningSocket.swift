internal import CLinux

/// A bound, listening descriptor that belongs to no worker yet. Must be handed to a `Listener` or closed.
package struct ListeningSocket: Sendable {
    package struct Options: Sendable {
        /// Lets several sockets share the address; the kernel spreads connections over them. Not for UNIX sockets:
        /// duplicate those.
        package var reusesPort = false
        package var backlog: Int32 = 4096
        /// For an IPv6 address: whether IPv4 clients are refused. Otherwise `[::]` takes both.
        package var isIPv6Only = false
        /// Permissions, owner and group of a UNIX socket's file; nil leaves what the umask and the process give.
        package var mode: UInt32?
        package var user: UInt32?
        package var group: UInt32?

        package init() {}
    }

    package let descriptor: Int32
    /// With the port the kernel chose when 0 was asked for.
    package let address: SocketAddress
    /// Identity of the UNIX socket's file that this process made.
    let file: (device: UInt64, inode: UInt64)?
    /// Others hold it as well: closing it resets nobody who waits.
    var isHandedOver = false

    /// Binds and listens. A UNIX socket's file that nobody listens on is replaced.
    package static func bind(
        _ address: SocketAddress, options: Options = Options()
    ) throws(ListenError) -> ListeningSocket {
        do throws(ListenError.Cause) {
            let descriptor = Int32(try cause(cl_socket(address.family)))
            do throws(ListenError.Cause) {
                return try bind(descriptor, address, options)
            } catch {
                _ = cl_close(descriptor)
                throw error
            }
        } catch {
            throw ListenError(address: address.description, cause: error)
        }
    }

    /// Takes a listening socket that was handed over (LISTEN_FDS); owns the descriptor from here on.
    package static func adopt(_ descriptor: Int32) throws(ListenError) -> ListeningSocket {
        guard cl_is_listening(descriptor) == 1 else {
            throw ListenError(address: "descriptor \(descriptor)", cause: .notListening)
        }
        let result = cl_set_nonblocking(descriptor)
        guard result >= 0 else {
            throw ListenError(address: "descriptor \(descriptor)", cause: .system(Errno(result: result)))
        }
        return ListeningSocket(
            descriptor: descriptor, address: localAddress(of: descriptor), file: nil, isHandedOver: true)
    }

    /// The same socket under another descriptor, for another worker; it does not own the file.
    package func duplicate() throws(Errno) -> ListeningSocket {
        ListeningSocket(
            descriptor: Int32(try check(cl_duplicate(descriptor))), address: address, file: nil,
            isHandedOver: isHandedOver)
    }

    /// Closes the descriptor; removes the UNIX socket's file if it is still the one made here.
    package func close(unlinks: Bool = true) {
        _ = cl_close(descriptor)
        if unlinks { unlinkFile() }
    }

    func unlinkFile() {
        guard let file else { return }
        withPath { path in
            var (device, inode): (UInt64, UInt64) = (0, 0)
            if cl_is_socket(path, &device, &inode) == 1, (device, inode) == file { _ = cl_unlink(path) }
        }
    }

    // MARK: binding

    private static func bind(
        _ descriptor: Int32, _ address: SocketAddress, _ options: Options
    ) throws(ListenError.Cause) -> ListeningSocket {
        if address.isIP {
            try cause(cl_reuse_address(descriptor))
            if options.reusesPort { try cause(cl_reuse_port(descriptor)) }
            if address.kind == .v6 { try cause(cl_v6_only(descriptor, options.isIPv6Only ? 1 : 0)) }
        }
        var result = try attempt(descriptor, address)
        if -result == EADDRINUSE, address.kind == .unix {
            try removeStale(address)
            result = try attempt(descriptor, address)
        }
        try cause(result)
        let file = try prepareFile(address, options)
        let socket = ListeningSocket(descriptor: descriptor, address: localAddress(of: descriptor), file: file)
        // Nobody can connect before this, so nobody connects before the permissions are set.
        let listening = cl_listen(descriptor, options.backlog)
        if listening < 0 { socket.unlinkFile() }
        try cause(listening)
        return socket
    }

    private static func attempt(_ descriptor: Int32, _ address: SocketAddress) throws(ListenError.Cause) -> Int {
        let result = address.withSocketAddress { $1 == 0 ? nil : cl_bind(descriptor, $0, $1) }
        guard let result else { throw ListenError.Cause.pathTooLong }
        return result
    }

    /// Removes the file of a UNIX socket that refuses connections: its owner is gone.
    private static func removeStale(_ address: SocketAddress) throws(ListenError.Cause) {
        guard address.path.first != 0 else { throw ListenError.Cause.socketInUse }
        var (device, inode): (UInt64, UInt64) = (0, 0)
        let kind = address.withPath { cl_is_socket($0, &device, &inode) }
        guard kind >= 0 else { throw ListenError.Cause.system(Errno(result: kind)) }
        guard kind == 1 else { throw ListenError.Cause.pathIsNotSocket }
        let probe = Int32(try cause(cl_socket(AF_UNIX)))
        let result = address.withSocketAddress { cl_connect(probe, $0, $1) }
        _ = cl_close(probe)
        switch Int32(-result) {
        case ECONNREFUSED: try cause(address.withPath { cl_unlink($0) })
        // Connected, or the backlog is full: somebody is there.
        case let number where result >= 0 || number == EAGAIN: throw ListenError.Cause.socketInUse
        default: throw ListenError.Cause.system(Errno(result: result))
        }
    }

    private static func prepareFile(
        _ address: SocketAddress, _ options: Options
    ) throws(ListenError.Cause) -> (device: UInt64, inode: UInt64)? {
        guard address.kind == .unix, address.path.first != 0 else { return nil }
        var (device, inode): (UInt64, UInt64) = (0, 0)
        var result = address.withPath { cl_is_socket($0, &device, &inode) }
        if result >= 0, let mode = options.mode { result = address.withPath { cl_chmod($0, mode) } }
        if result >= 0, options.user != nil || options.group != nil {
            // The highest number leaves that part as it is.
            result = address.withPath { cl_chown($0, options.user ?? .max, options.group ?? .max) }
        }
        guard result >= 0 else {
            _ = address.withPath { cl_unlink($0) }
            throw ListenError.Cause.system(Errno(result: result))
        }
        return (device, inode)
    }

    private static func localAddress(of descriptor: Int32) -> SocketAddress {
        var storage = sockaddr_storage()
        var length: socklen_t = 0
        guard cl_getsockname(descriptor, &storage, &length) >= 0 else { return .unknown }
        return SocketAddress(&storage, length: length)
    }

    private func withPath(_ body: (UnsafePointer<CChar>) -> Void) {
        address.withPath(body)
    }

    @discardableResult
    private static func cause(_ result: Int) throws(ListenError.Cause) -> Int {
        guard result >= 0 else { throw .system(Errno(result: result)) }
        return result
    }
}

extension ListenError.Cause: Error {}

extension SocketAddress {
    /// The path of a UNIX socket as a C string.
    fileprivate func withPath<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (path + [0]).withUnsafeBytes { $0.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) } }
    }
}
