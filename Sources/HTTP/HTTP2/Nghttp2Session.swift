import CNghttp2

/// The C library's session, and the only code that talks to it.
///
/// What holds for every `unsafe` here: the library's session lives exactly as long as this value; the state that its
/// callbacks are given outlives it, since the one who owns this value owns the state, too; pointers that a callback is
/// given are read during that callback only, within the lengths that come with them.
@safe
struct Nghttp2Session: ~Copyable {
    private let session: OpaquePointer

    /// Nil: out of memory.
    init?(_ role: HTTP2Session.Role, _ limits: HTTP2Limits, _ box: HTTP2StateBox) {
        var options: OpaquePointer?
        var callbacks: OpaquePointer?
        defer {
            unsafe nghttp2_option_del(options)
            unsafe nghttp2_session_callbacks_del(callbacks)
        }
        guard unsafe nghttp2_option_new(&options) == 0, unsafe nghttp2_session_callbacks_new(&callbacks) == 0,
            let options = unsafe options, let callbacks = unsafe callbacks
        else { return nil }
        unsafe Self.set(options, limits)
        unsafe Self.set(callbacks)
        let userData = unsafe UnsafeMutableRawPointer(box.pointer)
        var created: OpaquePointer?
        let result =
            role == .server
            ? unsafe nghttp2_session_server_new2(&created, callbacks, userData, options)
            : unsafe nghttp2_session_client_new2(&created, callbacks, userData, options)
        guard result == 0, let created = unsafe created else { return nil }
        unsafe session = created
    }

    deinit {
        unsafe nghttp2_session_del(session)
    }

    private static func set(_ options: OpaquePointer, _ limits: HTTP2Limits) {
        // Windows are opened as the bodies are taken.
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        // Until its SETTINGS tell more (RFC 9113 §6.5.2 recommends no less).
        unsafe nghttp2_option_set_peer_max_concurrent_streams(options, 100)
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        unsafe nghttp2_option_set_max_reserved_remote_streams(options, 0)
        unsafe nghttp2_option_set_max_deflate_dynamic_table_size(options, Int(limits.headerTableBytesMax))
        unsafe nghttp2_option_set_max_send_header_block_length(options, 256 << 10)
        unsafe nghttp2_option_set_max_settings(options, 32)
        // `FrameMeter` has these limits, too, and says good-bye. The library's lie behind as a second fence: beyond
        // them its session ends at once. It counts a CONTINUATION once for each piece that its header arrives in, and
        // resets by a clock of its own.
        unsafe nghttp2_option_set_max_outbound_ack(options, 4 * Int(limits.queuedFramesMax))
        unsafe nghttp2_option_set_max_continuations(options, 10 * (Int(limits.continuationsMax) + 1))
        unsafe nghttp2_option_set_stream_reset_rate_limit(
            options, 100 * UInt64(limits.resetBurst), 100 * UInt64(limits.resetsPerSecond))
    }
}

// MARK: Calls

extension Nghttp2Session {
    /// Queues our first SETTINGS and opens the connection's window.
    func submitSettings(_ role: HTTP2Session.Role, _ limits: HTTP2Limits) -> Bool {
        func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
            nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
        }
        var entries = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.streamWindowBytes),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.headerListBytesMax),
            entry(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, limits.headerTableBytesMax),
        ]
        switch role {
        case .server:
            entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streamsFence))
            // Without the priority tree of RFC 7540 there is nothing to churn (RFC 9113 §5.3.2, RFC 9218 §2.1).
            entries.append(entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1))
        case .client:
            entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0))
            entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
        }
        let window = Int32(clamping: limits.connectionWindowBytes)
        guard unsafe nghttp2_submit_settings(session, 0, entries, entries.count) == 0 else { return false }
        return unsafe nghttp2_session_set_local_window_size(session, 0, 0, window) == 0
    }

    /// As if the SETTINGS of the HTTP2-Settings field had arrived, and the request been stream 1.
    func upgrade(settings: [UInt8], isHead: Bool) -> Bool {
        unsafe settings.withUnsafeBufferPointer {
            unsafe nghttp2_session_upgrade2(session, $0.baseAddress, $0.count, isHead ? 1 : 0, nil) == 0
        }
    }

    enum Received {
        case all, prefaceExpected, failed
    }

    func receive(_ octets: Span<UInt8>, _ box: HTTP2StateBox) -> Received {
        unsafe octets.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return .all }
            box.state.inputStart = UInt(bitPattern: start)
            let count = unsafe nghttp2_session_mem_recv(session, start, buffer.count)
            if count == buffer.count { return .all }
            return count == Int(NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue) ? .prefaceExpected : .failed
        }
    }

    enum Written {
        case some, nothing, failed
    }

    /// Appends the next frames to the state's output.
    func write(_ box: HTTP2StateBox) -> Written {
        var start: UnsafePointer<UInt8>?
        let count = unsafe nghttp2_session_mem_send(session, &start)
        guard count >= 0 else { return .failed }
        guard count > 0, let start = unsafe start else { return .nothing }
        let frame = unsafe UnsafeBufferPointer(start: start, count: count)
        unsafe box.state.output.append(contentsOf: frame)
        if !box.state.hasAnnouncedLimit { box.state.announceLimit(in: box.state.output.count - count) }
        return .some
    }

    var wantsOutput: Bool { unsafe nghttp2_session_want_write(session) != 0 }
    var wantsInput: Bool { unsafe nghttp2_session_want_read(session) != 0 }
    var queuedFrames: Int { unsafe nghttp2_session_get_outbound_queue_size(session) }
    var peerStreamsMax: UInt32 {
        unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
    }
    var allowsRequests: Bool { unsafe nghttp2_session_check_request_allowed(session) != 0 }
    /// What the peer may still send in all, and we to it.
    var receiveWindow: Int {
        Int(unsafe nghttp2_session_get_local_window_size(session))
    }
    var sendWindow: Int { Int(unsafe nghttp2_session_get_remote_window_size(session)) }
    var lastProcessed: Int32 { unsafe nghttp2_session_get_last_proc_stream_id(session) }

    func consume(_ stream: HTTP2StreamID, _ count: Int) {
        unsafe nghttp2_session_consume(session, stream.signed, count)
    }

    func consumeConnection(_ count: Int) {
        unsafe nghttp2_session_consume_connection(session, count)
    }

    func reset(_ stream: HTTP2StreamID, _ code: HTTP2ErrorCode) {
        unsafe nghttp2_submit_rst_stream(session, 0, stream.signed, code.rawValue)
    }

    /// DATA of the stream, which had none, may be sent again.
    func resume(_ stream: HTTP2StreamID) {
        unsafe nghttp2_session_resume_data(session, stream.signed)
    }

    /// Interleaves the stream's DATA with that of others. By default a stream is served until it has nothing left
    /// (RFC 9218 §4.2), and a long response would hold up all later ones.
    func takeTurns(_ stream: HTTP2StreamID) {
        var priority = nghttp2_extpri(urgency: UInt32(NGHTTP2_EXTPRI_DEFAULT_URGENCY), inc: 1)
        unsafe nghttp2_session_change_extpri_stream_priority(session, stream.signed, &priority, 0)
    }

    func announceShutdown() {
        unsafe nghttp2_submit_shutdown_notice(session)
    }

    func finishShutdown() {
        unsafe nghttp2_submit_goaway(session, 0, lastProcessed, HTTP2ErrorCode.noError.rawValue, nil, 0)
    }

    func terminate(_ code: HTTP2ErrorCode) {
        unsafe nghttp2_session_terminate_session(session, code.rawValue)
    }

    func setNextStreamID(_ id: Int32) -> Bool {
        unsafe nghttp2_session_set_next_stream_id(session, id) == 0
    }
}

// MARK: Heads

extension Nghttp2Session {
    /// What a head is submitted as.
    enum Head {
        case interim(HTTP2StreamID)
        case response(HTTP2StreamID, ends: Bool)
        case trailers(HTTP2StreamID)
        case request(ends: Bool)

        var isRequest: Bool {
            switch self {
            case .request: true
            case .interim, .response, .trailers: false
            }
        }
    }

    /// Submits a head of pseudo-header fields and lines; negative when it fails, the stream's id for a request. The
    /// library copies all of them, and lower-cases the names.
    func submit(_ kind: Head, _ head: inout OutboundHead, _ lines: [UInt8], _ more: [UInt8]) -> Int32 {
        unsafe head.withFields(lines, more, isRequest: kind.isRequest) { fields in unsafe submit(kind, fields) }
    }

    private func submit(_ head: Head, _ fields: [nghttp2_nv]) -> Int32 {
        var provider = unsafe nghttp2_data_provider(source: nghttp2_data_source(fd: 0), read_callback: readData)
        switch head {
        case .interim(let stream):
            return unsafe nghttp2_submit_headers(session, 0, stream.signed, nil, fields, fields.count, nil)
        case .response(let stream, ends: true):
            return unsafe nghttp2_submit_response(session, stream.signed, fields, fields.count, nil)
        case .response(let stream, ends: false):
            return unsafe nghttp2_submit_response(session, stream.signed, fields, fields.count, &provider)
        case .trailers(let stream):
            return unsafe nghttp2_submit_trailer(session, stream.signed, fields, fields.count)
        case .request(ends: true):
            return unsafe nghttp2_submit_request(session, nil, fields, fields.count, nil, nil)
        case .request(ends: false):
            return unsafe nghttp2_submit_request(session, nil, fields, fields.count, &provider, nil)
        }
    }
}

/// The head that is being sent, as the library wants it.
@safe
struct OutboundHead {
    private var names: [StaticString] = []
    /// The pseudo-header fields' values one behind the other, and where each ends.
    private var values: [UInt8] = []
    private var ends: [Int] = []
    /// Points into arrays during `withFields` only.
    private var fields: [nghttp2_nv] = unsafe []

    mutating func giveUpBuffers(above bytesMax: Int) {
        guard unsafe values.capacity &+ fields.capacity &* MemoryLayout<nghttp2_nv>.stride > bytesMax else { return }
        self = OutboundHead()
    }

    mutating func setTrailers() {
        names.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }

    mutating func setResponse(status: UInt16) {
        setTrailers()
        HTTP1Serialiser.decimal(UInt64(status), to: &values)
        names.append(":status")
        ends.append(values.count)
    }

    mutating func setRequest(method: Span<UInt8>, scheme: Span<UInt8>, authority: Span<UInt8>, path: Span<UInt8>) {
        setTrailers()
        append(":method", method)
        append(":scheme", scheme)
        append(":path", path)
        if authority.count > 0 { append(":authority", authority) }
    }

    private mutating func append(_ name: StaticString, _ value: Span<UInt8>) {
        names.append(name)
        values.append(span: value)
        ends.append(values.count)
    }

    fileprivate mutating func withFields(
        _ lines: [UInt8], _ more: [UInt8], isRequest: Bool, _ body: ([nghttp2_nv]) -> Int32
    ) -> Int32 {
        // Taken out, so that nothing of self is changed while `values` are pointed into.
        var fields = unsafe self.fields
        unsafe self.fields = []
        let result = unsafe values.withUnsafeBufferPointer { values in
            unsafe lines.withUnsafeBufferPointer { lines in
                unsafe more.withUnsafeBufferPointer { more in
                    var start = 0
                    for index in names.indices {
                        unsafe fields.append(Self.field(names[index], values, start..<ends[index]))
                        start = ends[index]
                    }
                    unsafe Self.gather(lines, isRequest: isRequest, into: &fields)
                    unsafe Self.gather(more, isRequest: isRequest, into: &fields)
                    return unsafe body(fields)
                }
            }
        }
        unsafe fields.removeAll(keepingCapacity: true)
        unsafe self.fields = fields
        return result
    }

    /// A pseudo-header field. Its name lives as long as the program, so that only its value is copied.
    private static func field(
        _ name: StaticString, _ values: UnsafeBufferPointer<UInt8>, _ value: Range<Int>
    ) -> nghttp2_nv {
        unsafe nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: UnsafeBufferPointer(rebasing: values[value]).baseAddress),
            namelen: name.utf8CodeUnitCount, valuelen: value.count,
            flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue))
    }

    private static func gather(
        _ lines: UnsafeBufferPointer<UInt8>, isRequest: Bool, into fields: inout [nghttp2_nv]
    ) {
        guard let start = lines.baseAddress else { return }
        let octets = unsafe lines.span
        var reader = OutboundFieldLines(isRequest: isRequest)
        while let line = reader.next(in: octets) {
            let flags = line.isNeverIndexed ? NGHTTP2_NV_FLAG_NO_INDEX.rawValue : 0
            // The library takes mutable pointers and only reads.
            unsafe fields.append(
                nghttp2_nv(
                    name: UnsafeMutablePointer(mutating: start + line.name.lowerBound),
                    value: UnsafeMutablePointer(mutating: start + line.value.lowerBound),
                    namelen: line.name.count, valuelen: line.value.count, flags: UInt8(flags)))
        }
    }
}

/// Gives a session's state an address that the callbacks can have.
///
/// A class with one stored property would do, at the price of a dynamic check for exclusive access with every field
/// that arrives. It holds without: a callback runs inside a call of the library, its body calls neither the library nor
/// anything else that knows the box, and the driver is in no access when it calls the library.
@safe
final class HTTP2StateBox {
    fileprivate let pointer: UnsafeMutablePointer<HTTP2SessionState>

    init(_ state: HTTP2SessionState) {
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: state)
    }

    deinit {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }

    var state: HTTP2SessionState {
        @inline(__always)
        _read { yield unsafe pointer.pointee }
        @inline(__always)
        _modify { yield unsafe &pointer.pointee }
    }
}

// MARK: Callbacks

/// Runs `body` with the state that a callback was given.
@inline(__always)
private func withState<Result>(
    _ userData: UnsafeMutableRawPointer?, or missing: Result, _ body: (inout HTTP2SessionState) -> Result
) -> Result {
    guard let userData = unsafe userData else { return missing }
    return unsafe body(&userData.assumingMemoryBound(to: HTTP2SessionState.self).pointee)
}

extension Nghttp2Session {
    private static func set(_ callbacks: OpaquePointer) {
        unsafe setReceiving(callbacks)
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, userData in
            unsafe withState(userData, or: 0) { state in
                state.streamClosed(HTTP2StreamID(id), HTTP2ErrorCode(code))
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, userData in
            guard let frame = unsafe frame else { return 0 }
            return unsafe withState(userData, or: 0) { state in
                unsafe Nghttp2Session.frameSent(frame, &state)
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, userData in
            guard let frame = unsafe frame, unsafe frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue) else {
                return 0
            }
            return unsafe withState(userData, or: 0) { state in
                let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
                state.headNotSent(HTTP2StreamID(unsafe frame.pointee.hd.stream_id), isRequest: isRequest)
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, length, _, userData in
            guard let frame = unsafe frame, let header = unsafe header else { return 0 }
            return unsafe withState(userData, or: 0) { state in
                // No padding is ever asked for.
                unsafe state.output.append(contentsOf: UnsafeBufferPointer(start: header, count: 9))
                state.writeData(HTTP2StreamID(unsafe frame.pointee.hd.stream_id), length)
                return state.isPaused ? NGHTTP2_ERR_PAUSE.rawValue : 0
            }
        }
    }

    private static func setReceiving(_ callbacks: OpaquePointer) {
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, userData in
            guard let frame = unsafe frame else { return 0 }
            return unsafe withState(userData, or: 0) { state in
                let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
                state.headersBegan(HTTP2StreamID(unsafe frame.pointee.hd.stream_id), isRequest: isRequest)
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, _, name, nameCount, value, valueCount, _, userData in
            unsafe withState(userData, or: 0) { state in
                let name = unsafe UnsafeBufferPointer(start: name, count: nameCount)
                let value = unsafe UnsafeBufferPointer(start: value, count: valueCount)
                unsafe state.fieldReceived(name.span, value.span)
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) { _, _, _, _, _, _, _, _ in
            // RFC 9113 §8.1.1: malformed, not merely without this field.
            NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, userData in
            unsafe withState(userData, or: 0) { state in
                state.frameWasInvalid()
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, id, start, count, userData in
            unsafe withState(userData, or: 0) { state in
                let offset = Int(bitPattern: UInt(bitPattern: start) &- state.inputStart) + state.inputOffset
                state.dataReceived(HTTP2StreamID(id), offset..<offset + count)
                return 0
            }
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, userData in
            guard let frame = unsafe frame else { return 0 }
            return unsafe withState(userData, or: 0) { state in
                unsafe Nghttp2Session.frameReceived(frame, &state)
                return 0
            }
        }
    }

    private static func frameReceived(_ frame: UnsafePointer<nghttp2_frame>, _ state: inout HTTP2SessionState) {
        let header = unsafe frame.pointee.hd
        let id = HTTP2StreamID(header.stream_id)
        let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(header.type) {
        case NGHTTP2_DATA.rawValue:
            if ends { state.dataEnded(id) }
        case NGHTTP2_HEADERS.rawValue:
            state.headersReceived(id, ends: ends)
        case NGHTTP2_RST_STREAM.rawValue:
            state.resetReceived(id)
        case NGHTTP2_SETTINGS.rawValue:
            state.settingsReceived(isAcknowledgement: header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0)
        case NGHTTP2_GOAWAY.rawValue:
            let goAway = unsafe frame.pointee.goaway
            state.goAwayArrived(
                lastStream: HTTP2StreamID(unsafe goAway.last_stream_id), HTTP2ErrorCode(unsafe goAway.error_code))
        default: break
        }
    }

    private static func frameSent(_ frame: UnsafePointer<nghttp2_frame>, _ state: inout HTTP2SessionState) {
        let header = unsafe frame.pointee.hd
        let id = HTTP2StreamID(header.stream_id)
        let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(header.type) {
        case NGHTTP2_DATA.rawValue:
            state.messageFrameSent(id, isHead: false, ends: ends)
        case NGHTTP2_HEADERS.rawValue:
            state.messageFrameSent(id, isHead: true, ends: ends)
        case NGHTTP2_RST_STREAM.rawValue:
            state.resetSent(id)
        case NGHTTP2_GOAWAY.rawValue:
            state.goAwayWasSent(HTTP2ErrorCode(unsafe frame.pointee.goaway.error_code))
        default: break
        }
    }
}

/// Tells the library how long the next DATA frame is; `writeData` writes it.
private func readData(
    _: OpaquePointer?, _ id: Int32, _: UnsafeMutablePointer<UInt8>?, _ length: Int,
    _ flags: UnsafeMutablePointer<UInt32>?,
    _: UnsafeMutablePointer<nghttp2_data_source>?, _ userData: UnsafeMutableRawPointer?
) -> Int {
    let deferred = Int(NGHTTP2_ERR_DEFERRED.rawValue)
    return unsafe withState(userData, or: deferred) { state in
        switch state.nextData(HTTP2StreamID(id), max: length) {
        case .deferred: return deferred
        case .octets(let count, let isLast, let endsStream):
            var value = NGHTTP2_DATA_FLAG_NO_COPY.rawValue
            if isLast { value |= NGHTTP2_DATA_FLAG_EOF.rawValue }
            if isLast, !endsStream { value |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
            unsafe flags?.pointee = value
            return count
        }
    }
}
