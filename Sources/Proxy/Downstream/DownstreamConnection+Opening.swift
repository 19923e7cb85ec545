import HTTP
import Idempotency
import Transport

/// What comes before the first request: who the client is, TLS, and which protocol is spoken.
extension DownstreamConnection {
    var settings: ListenerSettings { context.listeners[listener] }

    /// Speaks TLS.
    var isSecure: Bool { settings.tls != nil }

    /// The connection was accepted.
    func opened() {
        setPeer(peerAddress)
        let now = context.worker.now
        if settings.expectsProxyHeader(from: peerAddress) {
            phase = .proxyHeader
            deadline = now.adding(milliseconds: context.timeouts.requestHeader)
        } else {
            begin()
        }
        CrashPoint.reach(.accepted)
    }

    /// The client's address is known: TLS, or the first request.
    private func begin() {
        guard let tls = settings.tls else { return awaitFirstHead() }
        let now = context.worker.now
        phase = .handshake
        deadline = now.adding(milliseconds: context.timeouts.handshake)
        startTLS(tls)
    }

    private func setPeer(_ address: SocketAddress) {
        peerText.removeAll()
        address.appendIPText(to: &peerText)
        if peerText.isEmpty { peerText = WireText.unixPeer }
        peerIsTrusted = context.rules.isTrusted(address)
    }

    // MARK: PROXY protocol

    /// Returns the octets consumed. What a listed peer sends without a header is not a request of its client.
    func receiveProxyHeader(_ octets: Span<UInt8>) -> Int {
        do {
            guard let (header, consumed) = try ProxyHeaderParser.parse(octets) else { return 0 }
            if let source = header.source, let address = SocketAddress(octets: source.address, port: source.port) {
                setPeer(address)
            }
            begin()
            return consumed
        } catch {
            context.telemetry.connectionRejected("proxy_header")
            end()
            return octets.count
        }
    }

    // MARK: TLS

    /// The handshake is complete.
    func openSecured() {
        guard let agreement = tlsAgreement else { return }
        context.telemetry.handshakeEnded(listener, agreement)
        if agreement.hasPeerCertificate, agreement.peerCertificate == nil {
            // Who it names cannot be told: it must not count as nobody's.
            context.telemetry.handshakeFailed(listener, "certificate")
            return end()
        }
        if let certificate = agreement.peerCertificate {
            callerCertificate = CallerCertificate(
                subject: certificate.subject, alternativeNames: certificate.subjectAlternativeNames)
        }
        if agreement.alpn == .http2 {
            becomeHTTP2()
        } else {
            awaitFirstHead()
        }
    }

    private func awaitFirstHead() {
        phase = .head
        deadline =
            context.isDraining
            ? drainingPatience : context.worker.now.adding(milliseconds: context.timeouts.requestHeader)
    }

    func handshakeFailed(_ failure: TLSFailure) {
        context.telemetry.handshakeFailed(listener, failure.kind.label)
    }

    /// Where clients show certificates, a name that was agreed on for TLS is the only host that the connection is good
    /// for (RFC 9110 §7.4): another one may ask for other certificates.
    func misdirects(_ head: borrowing RequestHead) -> Bool {
        guard settings.asksForClientCertificate, let name = tlsAgreement?.serverName, !name.isEmpty else {
            return false
        }
        return !head[head.host].equalsIgnoringCase(name.span)
    }

    // MARK: HTTP/2

    /// Whether the connection may begin with the HTTP/2 preface: with TLS only ALPN decides.
    var allowsPriorKnowledge: Bool { settings.allowsHTTP2 && settings.tls == nil }

    enum PriorKnowledge {
        case yes
        case no
        case needsMore
    }

    /// RFC 9113 §3.3, §3.4: whether the octets are the connection preface.
    func priorKnowledge(_ octets: Span<UInt8>) -> PriorKnowledge {
        let preface = WireText.http2Preface
        let count = min(octets.count, preface.count)
        for index in 0..<count where octets[index] != preface[index] { return .no }
        return count == preface.count ? .yes : .needsMore
    }

    func becomeHTTP2() {
        do {
            becomeHTTP2(try HTTP2Session(role: .server))
        } catch {
            end()
        }
    }

    private func becomeHTTP2(_ session: HTTP2Session) {
        phase = .http2
        speaksHTTP2 = true
        deadline = .never
        http2 = HTTP2Downstream(connection: self, session: session)
        context.telemetry.connectionBecameHTTP2(listener)
        if context.isDraining { http2?.drain() }
        markDirty()
    }

    /// RFC 7540 §3.2: `Upgrade: h2c` on a request without body. Any other one is answered as if it had not been asked.
    /// True when the request, whose head is in the context, is stream 1 of an HTTP/2 connection now.
    func upgradesToHTTP2() -> Bool {
        let fields = context.parsedHead.fields
        guard allowsPriorKnowledge, !context.isDraining, context.parsedHead.framing == .none,
            let settings = fields.http2Upgrade,
            let session = try? HTTP2Session(
                upgradedWith: fields.value(settings), isHead: context.parsedHead.method == .head)
        else { return false }
        write(contentsOf: WireText.switchToHTTP2)
        becomeHTTP2(session)
        http2?.beginUpgraded()
        return true
    }
}

extension FieldSection {
    /// The HTTP2-Settings line of a request that asks for `h2c`, and nothing else, once (RFC 7540 §3.2.1).
    fileprivate var http2Upgrade: FieldLine? {
        guard let upgrade = first(.upgrade), !isRepeated(.upgrade), value(upgrade).equalsIgnoringCase("h2c"),
            let settings = first(.http2Settings), !isRepeated(.http2Settings)
        else { return nil }
        return settings
    }
}
