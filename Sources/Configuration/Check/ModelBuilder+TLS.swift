/// TLS, HTTP/2 and the PROXY header of listeners and upstreams.
extension ModelBuilder {
    // MARK: Listeners

    mutating func buildProtocols(_ block: inout CheckedBlock, _ listener: inout Configuration.Listener) {
        guard block.kind == .listen else { return }
        listener.trustedProxyPeers = proxyPeers(block, listener.address)
        listener.allowsHTTP2 = block.values("http2") != [.keyword("off")]
        guard let index = block.indices("tls").first, var inner = block.statements[index].block else { return }
        listener.tls = listenerTLS(&inner, allowsHTTP2: listener.allowsHTTP2)
        block.replaceBlock(of: index, by: inner)
        if let tls = listener.tls, listener.allowsHTTP2, !tls.alpn.contains(.http2) {
            listener.allowsHTTP2 = false
            block.effective["http2"] = [.keyword("off")]
            if let given = block.given("http2") {
                log.warning(
                    given.place(0), "'http2 on' has no effect: 'alpn' does not offer h2",
                    hint: "with TLS, ALPN decides")
            }
        }
    }

    private mutating func proxyPeers(
        _ block: CheckedBlock, _ address: Configuration.Endpoint
    ) -> [Configuration.AddressBlock] {
        guard let given = block.given("proxy_protocol") else { return [] }
        let blocks = given.values.compactMap { if case .addressBlock(let block) = $0 { block } else { nil } }
        switch address {
        case .unix where !blocks.isEmpty:
            log.error(
                given.place(0), "the peers of a UNIX socket have no address", hint: "write 'proxy_protocol on;'")
        case .unix:
            return Self.everybody
        case .network where blocks.isEmpty:
            log.error(
                given.place(0), "'proxy_protocol on' needs a UNIX socket",
                hint: "anybody could then claim any address; name the peers: 'proxy_protocol 10.0.0.0/8;'")
        case .network:
            break
        }
        return blocks
    }

    private static let everybody = [4, 16].map {
        Configuration.AddressBlock(octets: [UInt8](repeating: 0, count: $0), prefixBits: 0)
    }

    private mutating func listenerTLS(_ block: inout CheckedBlock, allowsHTTP2: Bool) -> Configuration.Listener.TLS? {
        let certificates = certificates(block)
        var tls = Configuration.Listener.TLS(certificates: certificates)
        tls.minimumVersion = block.text("min_version").flatMap(Configuration.TLSVersion.init) ?? .tls12
        tls.alpn = applicationProtocols(block)
        if !allowsHTTP2, tls.alpn.contains(.http2) {
            if let given = block.given("alpn") {
                let index = given.values.firstIndex(of: .keyword("h2")) ?? 0
                log.error(
                    given.place(index), "'alpn h2' on a listener with 'http2 off'",
                    hint: "remove one of the two")
            }
            tls.alpn = [.http11]
            block.effective["alpn"] = [.keyword("http/1.1")]
        }
        if let given = block.given("client_certificate"), let path = given.values.text(1) {
            tls.clientCertificates =
                given.values.text(0) == "required"
                ? .required(authoritiesPath: path) : .optional(authoritiesPath: path)
            inspectAuthorities(given, 1)
        }
        tls.rejectsUnknownName = block.values("unknown_name") == [.keyword("reject")]
        if block.values("session_tickets") == [.keyword("off")] { tls.tickets = .off }
        if let given = block.given("session_tickets"), let path = given.values.text(1) {
            tls.tickets = .shared(keysPath: path)
            for finding in inspection?.ticketKeys(path) ?? [] { report(finding, given, 1) }
        }
        return certificates.isEmpty ? nil : tls
    }

    /// Certificates and keys, paired in order.
    private mutating func certificates(_ block: CheckedBlock) -> [Configuration.Certificate] {
        let chains = block.all("certificate")
        let keys = block.all("key")
        // Beside one that is wrong itself nothing can be called missing.
        guard chains.count == block.indices("certificate").count, keys.count == block.indices("key").count,
            !chains.isEmpty, !keys.isEmpty
        else { return [] }
        if chains.count > keys.count {
            log.error(
                chains[keys.count].place(0), "\(shown(chains[keys.count], 0)) has no 'key'",
                hint: "certificates and keys are paired in order: \(chains.count) and \(keys.count)")
        } else if keys.count > chains.count {
            log.error(
                keys[chains.count].place(0), "\(shown(keys[chains.count], 0)) has no 'certificate'",
                hint: "certificates and keys are paired in order: \(chains.count) and \(keys.count)")
        }
        var certificates: [Configuration.Certificate] = []
        var places: [String: SourceRange] = [:]
        for (chain, key) in zip(chains, keys) {
            guard let certificate = certificate(chain, key) else { continue }
            if let first = places[certificate.chainPath] {
                log.error(
                    chain.place(0), "\(shown(chain, 0)) is given twice", hint: "first at \(log.place(first))")
            } else {
                inspect(certificate, chain, key)
            }
            places[certificate.chainPath] = chain.place(0)
            certificates.append(certificate)
        }
        return certificates
    }

    private func certificate(_ chain: CheckedStatement, _ key: CheckedStatement) -> Configuration.Certificate? {
        guard let chainPath = chain.values.text(0), let keyPath = key.values.text(0) else { return nil }
        return Configuration.Certificate(chainPath: chainPath, keyPath: keyPath)
    }

    private mutating func applicationProtocols(_ block: CheckedBlock) -> [Configuration.ApplicationProtocol] {
        var protocols: [Configuration.ApplicationProtocol] = []
        for (index, value) in block.values("alpn").enumerated() {
            guard let name = Configuration.ApplicationProtocol(rawValue: value.canonicalText) else { continue }
            guard !protocols.contains(name) else {
                if let given = block.given("alpn") {
                    log.error(given.place(index), "\(shown(given, index)) is given twice", hint: "remove one")
                }
                continue
            }
            protocols.append(name)
        }
        return protocols
    }

    // MARK: Upstreams

    mutating func upstreamTLS(
        _ block: CheckedBlock, _ servers: [Configuration.Upstream.Server]
    ) -> Configuration.Upstream.TLS? {
        let hasEncrypted = servers.contains { $0.scheme == .https }
        guard let statement = block.indices("tls").first.map({ block.statements[$0] }), let inner = statement.block
        else { return hasEncrypted ? Configuration.Upstream.TLS() : nil }
        // A server that is wrong itself may have been one.
        if !hasEncrypted, block.all("server").count == block.indices("server").count, !servers.isEmpty {
            log.error(
                statement.source.nameRange, "'tls' in an upstream without a server with https://",
                hint: "write 'server https://HOST;', or remove 'tls'")
        }
        var tls = Configuration.Upstream.TLS()
        tls.authoritiesPath = inner.text("ca")
        tls.name = inner.text("name")
        tls.verifies = inner.values("verify") != [.keyword("off")]
        tls.alpn = applicationProtocols(inner)
        tls.certificate = ownCertificate(inner)
        let authorities = inner.given("ca")
        if let authorities { inspectAuthorities(authorities, 0) }
        if !tls.verifies, let given = inner.given("verify") {
            log.warning(
                given.place(0), "'verify off' trusts whoever answers",
                hint: "for an authority of your own write 'ca FILE;'")
            if let authorities {
                log.warning(authorities.source.nameRange, "'ca' has no effect with 'verify off'", hint: "remove one")
            }
        }
        return hasEncrypted ? tls : nil
    }

    private mutating func ownCertificate(_ block: CheckedBlock) -> Configuration.Certificate? {
        for (name, other) in [("certificate", "key"), ("key", "certificate")] {
            guard let given = block.given(name), !block.mentions(other) else { continue }
            log.error(given.place(0), "\(shown(given, 0)) has no '\(other)'", hint: "add '\(other) FILE;'")
        }
        guard let chain = block.given("certificate"), let key = block.given("key"),
            let certificate = certificate(chain, key)
        else { return nil }
        inspect(certificate, chain, key)
        return certificate
    }

    /// What concerns HTTP/2 only, where nobody speaks it.
    mutating func checkProtocols(of upstream: Configuration.Upstream, _ block: CheckedBlock) {
        guard let given = block.given("max_streams"), !upstream.servers.isEmpty,
            block.all("server").count == block.indices("server").count
        else { return }
        let mayAgree = upstream.tls?.alpn.contains(.http2) ?? false
        let speaksHTTP2 = upstream.servers.contains { $0.scheme == .h2c || $0.scheme == .https && mayAgree }
        guard !speaksHTTP2 else { return }
        log.warning(
            given.source.nameRange, "'max_streams' has no effect: no server speaks HTTP/2",
            hint: "h2c:// and, by ALPN, https:// do")
    }

    // MARK: Files

    private mutating func inspect(
        _ certificate: Configuration.Certificate, _ chain: CheckedStatement, _ key: CheckedStatement
    ) {
        guard let inspection else { return }
        for finding in inspection.certificate(certificate) {
            report(finding, finding.file == .key ? key : chain, 0)
        }
    }

    private mutating func inspectAuthorities(_ statement: CheckedStatement, _ index: Int) {
        guard let inspection, let path = statement.values.text(index) else { return }
        for finding in inspection.authorities(path) { report(finding, statement, index) }
    }

    mutating func report(_ finding: FileInspection.Finding, _ statement: CheckedStatement, _ index: Int) {
        let message = "\(shown(statement, index)): \(finding.message)"
        if finding.isWarning {
            log.warning(statement.place(index), message, hint: finding.hint)
        } else {
            log.error(statement.place(index), message, hint: finding.hint)
        }
    }
}
