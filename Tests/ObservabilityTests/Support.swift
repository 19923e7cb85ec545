import Glibc
import Synchronization

@testable import Observability

/// A number that several threads see.
final class SharedInt: Sendable {
    private let number: Atomic<Int>

    init(_ value: Int) {
        number = Atomic(value)
    }

    var value: Int {
        get { number.load(ordering: .sequentiallyConsistent) }
        set { number.store(newValue, ordering: .sequentiallyConsistent) }
    }

    func increment() {
        number.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
}

/// What `write` appends, as text.
func text(_ write: (inout TextBuffer) -> Void) -> String {
    var buffer = TextBuffer(capacity: 64)
    write(&buffer)
    return String(decoding: buffer.octets, as: UTF8.self)
}

/// A path in the temporary directory that nothing has.
func temporaryPath(_ name: String) -> String {
    "/tmp/oncegate-observability-\(getpid())-\(UInt64.random(in: 0 ... .max))-\(name)"
}

func readFile(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    return readAll(descriptor)
}

/// Reads until the end.
func readAll(_ descriptor: Int32) -> String {
    var octets: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &block, block.count)
        if count <= 0 { break }
        octets += block[..<count]
    }
    return String(decoding: octets, as: UTF8.self)
}
