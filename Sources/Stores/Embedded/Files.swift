internal import Glibc

func errorText(_ code: Int32) -> String {
    String(cString: strerror(code))
}

func lastErrorText() -> String {
    errorText(errno)
}

/// Nil on an error, or when there is more than `bytesMax`.
func readAll(_ descriptor: Int32, bytesMax: Int) -> [UInt8]? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size <= bytesMax else { return nil }
    var octets = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < octets.count {
        let count = octets.withUnsafeMutableBytes {
            pread(descriptor, $0.baseAddress! + filled, $0.count - filled, off_t(filled))
        }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return nil }
        filled += count
    }
    return octets
}

/// The 16 octets of the kernel's boot id; nil where there is none.
func readBootID() -> [UInt8]? {
    let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 64)
    let count = text.withUnsafeMutableBytes { read(descriptor, $0.baseAddress!, $0.count) }
    guard count > 0 else { return nil }
    var digits: [UInt8] = []
    for octet in text[..<count] {
        switch octet {
        case 0x30...0x39: digits.append(octet - 0x30)
        case 0x61...0x66: digits.append(octet - 0x57)
        default: continue
        }
    }
    guard digits.count == 32 else { return nil }
    return (0..<16).map { digits[$0 * 2] << 4 | digits[$0 * 2 + 1] }
}
