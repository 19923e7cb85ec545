import Idempotency

/// Routes, and what they take over from the top level.
extension ModelBuilder {
    /// The default of `route_timeout` on a route with idempotency.
    static let coveredRouteTimeoutMilliseconds: UInt64 = 120_000

    mutating func buildRoutes() {
        let names = Set(top.all("upstream").compactMap { $0.values.text(0) })
        var places: [String: SourceRange] = [:]
        for index in top.indices("route") {
            guard var block = top.statements[index].block else { continue }
            let statement = top.statements[index]
            var route = route(statement)
            buildUpstreamReference(block, names, &route)
            route.hostHeader =
                switch block.values("host_header") {
                case [.keyword("preserve")]: .preserve
                case [.keyword("upstream")]: .upstream
                case let values: .literal(values.text(0) ?? "")
                }
            if let limit = block.given("max_in_flight"), case .integer(let number) = limit.values[0] {
                route.requestsInFlightMax = Int(number)
            }
            let idempotency = block.indices("idempotency").first { !block.statements[$0].values.isOff }
            // What is only observed passes as on a route without idempotency.
            let isCovered = idempotency.map { block.statements[$0].block?.text("mode") != "observe" } ?? false
            route.timeouts = timeouts(&block, isCovered: isCovered)
            route.allowsUpgrade = allowsUpgrade(&block, isCovered: isCovered)
            if let idempotency, var inner = block.statements[idempotency].block {
                if isCovered { checkTimes(of: inner, block, route) }
                responseHeaderMilliseconds = route.timeouts.responseHeaderMilliseconds
                let errorsBefore = log.errorCount
                let policy = policy(&inner)
                if log.errorCount == errorsBefore { checkIdentity(by: policy, inner) }
                route.policy = policy
                route.observed = observed(policy, inner, route: route.name)
                block.replaceBlock(of: idempotency, by: inner)
            }
            top.replaceBlock(of: index, by: block)
            guard statement.isComplete else { continue }
            let key = route.host.map { $0 + " " } ?? ""
            if let first = places[key + "\(route.match)"] {
                let name = statement.secrets.contains(true) ? "the route" : "route '\(route.name)'"
                log.error(
                    statement.place(0).through(statement.source.headRange), "\(name) is defined twice",
                    hint: "first at \(log.place(first))")
                continue
            }
            places[key + "\(route.match)"] = statement.place(0)
            configuration.routes.append(route)
        }
    }

    private func route(_ statement: CheckedStatement) -> Configuration.Route {
        let values = statement.values
        guard let last = values.last?.canonicalText else {
            return Configuration.Route(name: "", match: .prefix("/"), upstream: 0)
        }
        if values.first == .keyword("~") {
            return Configuration.Route(name: "~ " + last, match: .regex(last), upstream: 0)
        }
        let (host, path) = RoutePath.split(last)
        let lowerHost = host.lowercased()
        let isExact = values.first == .keyword("=")
        return Configuration.Route(
            name: (isExact ? "= " : "") + lowerHost + (path ?? ""), host: host.isEmpty ? nil : lowerHost,
            match: isExact ? .exact(path ?? "") : .prefix(path ?? ""), upstream: 0)
    }

    private mutating func buildUpstreamReference(
        _ block: CheckedBlock, _ names: Set<String>, _ route: inout Configuration.Route
    ) {
        guard let reference = block.given("upstream"), let name = reference.values.text(0) else { return }
        if let index = configuration.upstreams.firstIndex(where: { $0.name == name }) {
            route.upstream = index
            return
        }
        // One that is there, but wrong itself, is not unknown.
        let isThere = top.indices("upstream").contains { isFaulty(top.statements[$0], name) }
        guard !names.contains(name), !isThere else { return }
        guard !reference.secrets[0] else {
            return log.error(reference.place(0), "the value of \(shown(reference, 0)) is not an upstream")
        }
        let guess = Suggestion.nearest(to: name, among: names.sorted())
        log.error(
            reference.place(0), "unknown upstream '\(name)'",
            hint: guess.map { "did you mean '\($0)'?" } ?? "add 'upstream \(name) { server URL; }'")
    }

    private func isFaulty(_ statement: CheckedStatement, _ name: String) -> Bool {
        !statement.isComplete && statement.source.arguments.first?.text == name
    }

    /// The route's times: its own, else the top level's.
    private func timeouts(_ block: inout CheckedBlock, isCovered: Bool) -> Configuration.Route.Timeouts {
        for name in [
            "connect_timeout", "response_header_timeout", "upstream_idle_timeout", "route_timeout", "tunnel_timeout",
        ] where block.given(name) == nil {
            block.effective[name] = top.values(name)
        }
        if isCovered, block.given("route_timeout") == nil, top.given("route_timeout") == nil {
            block.effective["route_timeout"] = [.duration(Self.coveredRouteTimeoutMilliseconds)]
        }
        var timeouts = Configuration.Route.Timeouts()
        timeouts.connectMilliseconds = block.timeout("connect_timeout")
        timeouts.responseHeaderMilliseconds = block.timeout("response_header_timeout")
        timeouts.upstreamIdleMilliseconds = block.timeout("upstream_idle_timeout")
        timeouts.routeMilliseconds = block.timeout("route_timeout")
        timeouts.tunnelMilliseconds = block.timeout("tunnel_timeout")
        return timeouts
    }

    private mutating func allowsUpgrade(_ block: inout CheckedBlock, isCovered: Bool) -> Bool {
        guard isCovered else { return block.values("upgrade") == [.keyword("on")] }
        if let given = block.given("upgrade"), given.values == [.keyword("on")] {
            log.error(
                given.place(0), "'upgrade on' in a route with idempotency",
                hint: "what a tunnel carries cannot be replayed")
        }
        block.effective["upgrade"] = [.keyword("off")]
        return false
    }

    /// Where the times of a covered route contradict each other.
    private mutating func checkTimes(of inner: CheckedBlock, _ block: CheckedBlock, _ route: Configuration.Route) {
        let timeout = block.given("route_timeout") ?? top.given("route_timeout")
        guard let limit = route.timeouts.routeMilliseconds else {
            if let timeout {
                log.warning(
                    timeout.place(0), "'route_timeout off' on a route with idempotency",
                    hint: "an attempt may then run for ever, and its repeats wait or get 409 as long")
            }
            return
        }
        let text = Unit.text(limit, in: Unit.durations)
        if inner.duration("retention") < limit, let place = inner.given("retention") ?? timeout {
            log.warning(
                place.place(0), "'retention' is shorter than 'route_timeout' (\(text))",
                hint: "retention runs from the claim: a slow answer's record may end at once")
        }
        if let wait = inner.given("in_flight"), case .duration(let milliseconds) = wait.values.last,
            milliseconds > limit
        {
            log.warning(
                wait.place(1), "'in_flight wait' is longer than 'route_timeout' (\(text))",
                hint: "no attempt runs that long")
        }
    }
}
