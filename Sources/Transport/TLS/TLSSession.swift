internal import COpenSSL

/// TLS on one connection, a state machine around an SSL object: ciphertext in, plaintext out, and the reverse. On one
/// worker only; does no I/O.
///
///     handshaking ──▶ established ──▶ ended by close_notify, each direction by itself
///          └───────────────┴────────▶ failed
final class TLSSession {
    enum Role {
        case server(TLSServerGeneration)
        case client(TLSClientGeneration, TLSClientGeneration.SessionKey)
    }

    let role: Role
    /// Nil before a server has the whole first record, and after `close`.
    private var ssl: OpaquePointer?
    private let workspace: TLSWorkspace
    /// Ciphertext that the kernel did not take.
    @exclusivity(unchecked) var backlog = OutputQueue()
    /// Ciphertext that was received before TLS began.
    @exclusivity(unchecked) var unread: [UInt8] = []
    /// A server's first record, as far as it has come.
    private var firstRecord: [UInt8] = []
    @exclusivity(unchecked) private(set) var isEstablished = false
    /// The other side said that it sends nothing more.
    @exclusivity(unchecked) private(set) var isEndReceived = false
    @exclusivity(unchecked) private(set) var isEndSent = false
    /// Client: the server gave a ticket, which over TLS 1.3 it does after its handshake.
    private var hasTicket = false
    @exclusivity(unchecked) private(set) var failure: TLSFailure?
    private(set) var agreement: TLSAgreement?
    /// What the client asked for, when it is a name.
    private(set) var serverName: [UInt8] = []
    /// A certificate has the name that the client asked for.
    private(set) var isNameKnown = false
    /// Octets that were written because of what was received, since the backlog was empty.
    private var replyBytes = 0

    /// A peer that makes us answer and does not read is cut off here.
    private static let replyBytesMax = 64 * 1024

    init(server generation: TLSServerGeneration, workspace: TLSWorkspace) {
        role = .server(generation)
        self.workspace = workspace
    }

    /// Checks the name, and makes everything ready for `begin`. Nil when the server can't be verified under this name,
    /// or without memory.
    init?(client generation: TLSClientGeneration, serverName: String, worker: Int, workspace: TLSWorkspace) {
        guard let name = ClientName(serverName, isRequired: generation.options.verifies) else { return nil }
        role = .client(generation, .init(worker: worker, serverName: name.octets))
        self.workspace = workspace
        open()
        guard let ssl, name.apply(to: ssl) else { return nil }
    }

    deinit {
        close()
    }

    var isClient: Bool {
        switch role {
        case .server: false
        case .client: true
        }
    }

    private func open() {
        let context: TLSContextHandle
        switch role {
        case .server(let generation): context = generation.standard
        case .client(let generation, _): context = generation.context
        }
        ERR_clear_error()
        guard let method = TLSWorkspace.bioMethod, let ssl = SSL_new(context.pointer) else {
            return fail(TLSFailure(.internal, "libssl makes no session: \(TLSError.takeReason())"))
        }
        guard SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque()) == 1,
            oncegate_tls_attach(ssl, method, workspace.io) == 1
        else {
            SSL_free(ssl)
            return fail(TLSFailure(.internal, "libssl makes no session: \(TLSError.takeReason())"))
        }
        self.ssl = ssl
        switch role {
        case .server: SSL_set_accept_state(ssl)
        case .client(let generation, let key):
            SSL_set_connect_state(ssl)
            generation.resume(ssl, key)
        }
    }

    /// Client: writes the ClientHello.
    func begin() {
        guard let ssl, failure == nil else { return }
        ERR_clear_error()
        _ = handshake(ssl)
    }

    /// Frees what libssl holds; what was agreed on, and the failure, stay.
    func close() {
        unread = []
        firstRecord = []
        guard let ssl else { return }
        self.ssl = nil
        // Without it libssl takes a connection that was not shut down in both directions for attacked, and its
        // session for spoiled.
        if failure == nil, isEstablished { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
        SSL_set_ex_data(ssl, 0, nil)
        SSL_free(ssl)
    }

    /// The session that libssl calls back for.
    static func of(_ ssl: OpaquePointer) -> TLSSession? {
        SSL_get_ex_data(ssl, 0).map { Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: input

    /// Takes in all of the ciphertext. Gives the number of octets of plaintext written to `out`, which has room for
    /// those of the ciphertext and of one record. What is to be sent for it is in the workspace.
    /// - Parameter isLast: the other side has ended TCP.
    func receive(
        _ octets: UnsafeBufferPointer<UInt8>, into out: UnsafeMutablePointer<UInt8>, room: Int, isLast: Bool = false
    ) -> Int {
        guard failure == nil, !isEndReceived else { return 0 }
        if ssl != nil { return process(octets, into: out, room: room) }
        firstRecord.append(contentsOf: octets)
        guard !Self.isTooLong(firstRecord) else {
            firstRecord = []
            workspace.write(Self.decodeError)
            fail(TLSFailure(.malformed, "the ClientHello does not fit one record"))
            return 0
        }
        guard Self.hasWholeRecord(firstRecord) else { return 0 }
        // No handshake ends without a second flight of the client's: a flood of clients that have left costs no
        // signatures.
        if isLast, firstRecord[0] == UInt8(SSL3_RT_HANDSHAKE) {
            firstRecord = []
            fail(.cutOff)
            return 0
        }
        open()
        let first = firstRecord
        firstRecord = []
        return first.withUnsafeBufferPointer { process($0, into: out, room: room) }
    }

    /// A connection costs no SSL object before its first record is there; what can't become one is libssl's to
    /// refuse.
    private static func hasWholeRecord(_ octets: [UInt8]) -> Bool {
        guard let type = octets.first else { return false }
        guard type == UInt8(SSL3_RT_HANDSHAKE), octets.count < 2 || octets[1] == 3 else { return true }
        guard octets.count >= 5 else { return false }
        let count = Int(octets[3]) << 8 | Int(octets[4])
        return count > TLSWorkspace.recordContentMax || octets.count >= 5 + count
    }

    /// Whether it begins a ClientHello for which libssl would take 128 KiB of memory before anything else is known of
    /// the client. Real ones have a tenth of a record.
    private static func isTooLong(_ octets: [UInt8]) -> Bool {
        guard octets.count >= 5, octets[0] == UInt8(SSL3_RT_HANDSHAKE), octets[1] == 3 else { return false }
        // Cut off within the message's own length: a record of three octets serves nothing else.
        if Int(octets[3]) << 8 | Int(octets[4]) < 4 { return octets[3] != 0 || octets[4] != 0 }
        guard octets.count >= 9 else { return false }
        return Int(octets[6]) << 16 | Int(octets[7]) << 8 | Int(octets[8]) > TLSWorkspace.recordContentMax - 4
    }

    /// The alert for it (RFC 8446 §6.2), in a record of its own.
    private static let decodeError: [UInt8] = [21, 3, 3, 0, 2, 2, 50]

    private func process(
        _ octets: UnsafeBufferPointer<UInt8>, into out: UnsafeMutablePointer<UInt8>, room: Int
    ) -> Int {
        guard let ssl else { return 0 }
        workspace.io.pointee.input = octets.baseAddress
        workspace.io.pointee.input_left = octets.count
        defer { workspace.io.pointee.input_left = 0 }
        let before = workspace.io.pointee.output_used + backlog.count
        defer { countReplies(workspace.io.pointee.output_used + backlog.count - before) }
        ERR_clear_error()
        guard isEstablished || handshake(ssl) else { return 0 }
        var total = 0
        while true {
            precondition(total < room, "more plaintext than ciphertext")
            var count = 0
            let result = SSL_read_ex(ssl, out + total, room - total, &count)
            if result == 1 {
                total += count
                continue
            }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ: return total
            case SSL_ERROR_WANT_WRITE: stash()
            case SSL_ERROR_ZERO_RETURN:
                isEndReceived = true
                return total
            default:
                fail(TLSFailure(ssl))
                return total
            }
        }
    }

    /// Goes on with the handshake; whether it is complete.
    private func handshake(_ ssl: OpaquePointer) -> Bool {
        while true {
            let result = SSL_do_handshake(ssl)
            if result == 1 {
                establish(ssl)
                return isEstablished
            }
            switch SSL_get_error(ssl, result) {
            case SSL_ERROR_WANT_READ: return false
            case SSL_ERROR_WANT_WRITE: stash()
            default:
                fail(TLSFailure(ssl))
                return false
            }
        }
    }

    private func establish(_ ssl: OpaquePointer) {
        guard let agreement = TLSAgreement(ssl, serverName: serverName) else {
            return fail(TLSFailure(.internal, "libssl agreed on a version that is not allowed"))
        }
        if case .client(let generation, _) = role, let chosen = agreement.alpn,
            !generation.options.alpn.contains(chosen)
        {
            return fail(TLSFailure(.noCommonProtocol, "the server chose a protocol that was not offered"))
        }
        self.agreement = agreement
        isEstablished = true
    }

    private func countReplies(_ count: Int) {
        if backlog.isEmpty { replyBytes = 0 }
        replyBytes += count
        if replyBytes > Self.replyBytesMax, isEstablished {
            fail(TLSFailure(.flood, "the other side asks for answers and does not read them"))
        }
    }

    /// Client: keeps a session to resume. Whether the reference to it is taken over.
    func keep(session: OpaquePointer) -> Bool {
        hasTicket = true
        guard case .client(let generation, let key) = role else { return false }
        return generation.keep(session, key)
    }

    /// Client: the server refused our certificate and with it the handshake, though ours had ended (RFC 8446 §4.4.2.4,
    /// §4.4.4): it has read nothing of what was sent. Over TLS 1.2, and after a resumption or a ticket, such an alert
    /// would mean something else: we offer no authentication after the handshake.
    var isRefusedByServer: Bool {
        guard failure?.refusesOurCertificate == true, isClient, !hasTicket, let agreement else { return false }
        return agreement.version == .tls13 && !agreement.isResumed
    }

    /// Server: chooses the certificate. False: the name is refused.
    func choose(_ ssl: OpaquePointer, name: [UInt8]?) -> Bool {
        guard case .server(let generation) = role else { return true }
        serverName = name ?? []
        guard let choice = generation.context(for: name) else { return false }
        isNameKnown = choice.isKnown
        // Each time: after a HelloRetryRequest there is a second ClientHello.
        SSL_set_SSL_CTX(ssl, choice.context.pointer)
        return true
    }

    func fail(_ failure: TLSFailure) {
        if self.failure == nil { self.failure = failure }
    }

    // MARK: output

    /// Encrypts from the front of `output`, until that or the workspace is used up. Gives the octets taken.
    func encrypt(_ output: inout OutputQueue) -> Int {
        guard let ssl, failure == nil, isEstablished, !isEndSent else { return 0 }
        ERR_clear_error()
        var taken = 0
        while !output.isEmpty, workspace.hasRoomForRecord {
            let piece = output.firstRecord(workspace.record, countMax: TLSWorkspace.recordContentMax)
            var written = 0
            let result = SSL_write_ex(ssl, piece.baseAddress, piece.count, &written)
            guard result == 1 else {
                switch SSL_get_error(ssl, result) {
                case SSL_ERROR_WANT_WRITE: stash()
                // TLS 1.2 only, while a handshake that the peer began goes on; there is none.
                case SSL_ERROR_WANT_READ: return taken
                default:
                    fail(TLSFailure(ssl))
                    return taken
                }
                continue
            }
            output.removeFirst(written, pool: workspace.pool)
            taken += written
        }
        return taken
    }

    /// Writes close_notify, once.
    func sendEnd() {
        guard let ssl, failure == nil, isEstablished, !isEndSent else { return }
        isEndSent = true
        ERR_clear_error()
        while true {
            let result = SSL_shutdown(ssl)
            guard result < 0 else { return }
            guard SSL_get_error(ssl, result) == SSL_ERROR_WANT_WRITE else { return ERR_clear_error() }
            stash()
        }
    }

    /// Moves what libssl wrote to the end of the backlog.
    func stash() {
        backlog.append(workspace.takeOutput(), pool: workspace.pool)
    }
}
