#if canImport(HTTP)
    @testable import HTTP
#endif

/// What must hold for any octets whatever; traps when it does not. The first octet chooses the direction, the second
/// the cuts.
func checkAnyOctets(_ input: [UInt8]) {
    guard input.count >= 2 else { return }
    let octets = Array(input.dropFirst(2))
    let direction: Direction
    switch input[0] % 5 {
    case 0: direction = .requests
    case 1: direction = .responses(to: .get)
    case 2: direction = .responses(to: .head)
    case 3: direction = .body(.chunked)
    default:
        checkPath(octets)
        return
    }
    var limits = HTTP1Limits()
    if input[0] >= 128 {
        // Small enough for small inputs to reach.
        limits.requestLineBytesMax = 24
        limits.headBytesMax = 96
        limits.fieldsMax = 3
        limits.fieldBytesMax = 40
        limits.responseHeadBytesMax = 96
        limits.responseFieldsMax = 3
        limits.responseFieldBytesMax = 40
        limits.chunkExtensionBytesMax = 8
        limits.chunkOverheadBytesMax = 32
        limits.trailerBytesMax = 48
        limits.trailersMax = 2
    }
    let whole = transcript(direction, octets, limits: limits)
    let stride = Int(input[1] % 16) + 1
    let cuts = Array(Swift.stride(from: Int(input[1] / 16), to: octets.count, by: stride))
    let pieces = transcript(direction, octets, cuts: cuts, limits: limits)
    precondition(whole == pieces, "the meaning depends on how the octets were split")
    for event in whole { checkHead(event) }
}

/// A head that was accepted, written again, means the same and is written the same.
private func checkHead(_ event: Event) {
    switch event {
    case .requestHead(let octets, let lines, let meaning):
        var fields = FieldSection()
        fields.octets = octets
        fields.lines = lines
        let method = octets.span.extracting(meaning.ranges[0].bounds)
        let target = octets.span.extracting(meaning.ranges[1].bounds)
        var output: [UInt8] = []
        HTTP1Serialiser.requestLine(method: method, target: target, to: &output)
        HTTP1Serialiser.fieldLines(of: fields, to: &output)
        HTTP1Serialiser.endOfHead(to: &output)
        guard meaning.version == .http11 else { return }
        let again = transcript(.requests, output)
        guard case .requestHead(let octetsAgain, let linesAgain, let meaningAgain)? = again.first else {
            preconditionFailure("a head that was accepted is refused when written again: \(again)")
        }
        precondition(octetsAgain == output && linesAgain.count == lines.count)
        precondition(meaningAgain.framing == meaning.framing && meaningAgain.flags == meaning.flags)
        checkPath(Array(octets[meaning.ranges[2].bounds]))
        var hopByHop = fields
        try? hopByHop.markHopByHop()
    case .responseHead(let octets, let lines, _, _, _):
        var fields = FieldSection()
        fields.octets = octets
        fields.lines = lines
        var output: [UInt8] = []
        HTTP1Serialiser.fieldLines(of: fields, to: &output)
        precondition(HTTP1Serialiser.areFieldLines(output.span))
    default: break
    }
}

/// A normal form is its own normal form.
private func checkPath(_ path: [UInt8]) {
    var normal: [UInt8] = []
    var again: [UInt8] = []
    guard let isChanged = try? PathNormaliser.normalise(path.span, into: &normal), isChanged else { return }
    precondition(normal != path && normal.first == Octet.slash)
    let isChangedAgain = try? PathNormaliser.normalise(normal.span, into: &again)
    precondition(isChangedAgain == false, "a normal form is not its own normal form")
}
