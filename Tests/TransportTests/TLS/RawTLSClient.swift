import COpenSSL
import Glibc
import Transport

/// libssl over a blocking socket, for what no client of good manners does.
final class RawTLSClient {
    let socket: BlockingSocket
    let ssl: OpaquePointer
    private let context: OpaquePointer

    init(_ address: SocketAddress, version: TLSVersion = .tls13, receiveBuffer: Int32? = nil) throws {
        // libssl writes without MSG_NOSIGNAL.
        signal(SIGPIPE, SIG_IGN)
        socket = try BlockingSocket(connectedTo: address, receiveBuffer: receiveBuffer)
        context = SSL_CTX_new(TLS_client_method())
        guard oncegate_tls_harden(context, version.rawValue, 100_000) == 1, let ssl = SSL_new(context) else {
            throw TestFailure(text: "no context")
        }
        SSL_ctrl(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(version.rawValue), nil)
        self.ssl = ssl
        SSL_set_fd(ssl, socket.descriptor)
        guard SSL_connect(ssl) == 1 else { throw TestFailure(text: "handshake") }
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    func write(_ octets: [UInt8]) throws {
        guard SSL_write(ssl, octets, Int32(octets.count)) == octets.count else { throw TestFailure(text: "SSL_write") }
    }

    /// Exactly this many octets.
    func read(count: Int) throws -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let n = octets.withUnsafeMutableBytes { SSL_read(ssl, $0.baseAddress! + got, Int32(count - got)) }
            guard n > 0 else { throw TestFailure(text: "SSL_read: \(SSL_get_error(ssl, n))") }
            got += Int(n)
        }
        return octets
    }

    /// False when the server has closed.
    func askForKeyUpdate() -> Bool {
        SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1
    }

    /// Sends close_notify; with `isWhole`, waits for the other side's.
    func shutdown(isWhole: Bool = false) -> Bool {
        let result = SSL_shutdown(ssl)
        return isWhole ? SSL_shutdown(ssl) == 1 : result >= 0
    }
}
