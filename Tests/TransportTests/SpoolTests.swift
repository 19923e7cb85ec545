import Foundation
import Testing

@testable import Transport

/// Files that hold what requests carry, and nothing but noise for whoever reads the disk.
@Suite struct SpoolTests {
    private static func directory() throws -> String {
        var template = Array("/tmp/oncegate-spool-XXXXXX".utf8CString)
        return try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    private static func octets(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    @Test("pieces of every size come back as they were, in any order, as often as asked", arguments: [true, false])
    func roundTrip(nameless: Bool) throws {
        let path = try Self.directory()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try SpoolDirectory(path: path, triesNameless: nameless).makeFile()
        let sizes = [1, 0, 15, 16, 17, 4096, 70_001]
        var pieces: [SpoolFile.Piece] = []
        var offset: UInt64 = 0
        for (number, size) in sizes.enumerated() {
            pieces.append(try file.write(Self.octets(size), number: UInt32(number), at: offset))
            offset += UInt64(size)
        }
        for _ in 0..<2 {
            for (piece, size) in zip(pieces, sizes).reversed() {
                #expect(piece.count == size)
                #expect(try file.read(piece) == Self.octets(size))
            }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
    }

    @Test("one octet altered anywhere, or a piece cut off, is found")
    func damaged() throws {
        let path = try Self.directory()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try SpoolDirectory(path: path).makeFile()
        let first = try file.write(Self.octets(64), number: 0, at: 0)
        let second = try file.write(Self.octets(64), number: 1, at: 64)
        let descriptor = try Self.open(path)
        defer { close(descriptor) }
        for position in 0..<64 {
            var octet: UInt8 = 0
            #expect(pread(descriptor, &octet, 1, off_t(position)) == 1)
            octet ^= 1
            #expect(pwrite(descriptor, &octet, 1, off_t(position)) == 1)
            #expect(throws: SpoolError.damaged) { try file.read(first) }
            octet ^= 1
            #expect(pwrite(descriptor, &octet, 1, off_t(position)) == 1)
        }
        #expect(try file.read(first) == Self.octets(64))
        ftruncate(descriptor, 100)
        #expect(throws: SpoolError.damaged) { try file.read(second) }
    }

    /// The one spool file in this directory, by the kernel's list.
    private static func open(_ path: String) throws -> Int32 {
        for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            let link = "/proc/self/fd/\(name)"
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link),
                target.hasPrefix(path), target.hasSuffix("(deleted)")
            else { continue }
            return Glibc.open(link, O_RDWR)
        }
        throw SpoolError.damaged
    }

    @Test("equal octets under other numbers, or in another file, look different")
    func unlinkable() throws {
        let path = try Self.directory()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try SpoolDirectory(path: path).makeFile()
        let octets = Self.octets(64)
        _ = try file.write(octets, number: 0, at: 0)
        _ = try file.write(octets, number: 1, at: 64)
        let descriptor = try Self.open(path)
        defer { close(descriptor) }
        var stored = [UInt8](repeating: 0, count: 128)
        #expect(pread(descriptor, &stored, 128, 0) == 128)
        #expect(Array(stored[..<64]) != octets)
        #expect(stored[..<64] != stored[64...])
    }

    @Test("a directory that cannot be used is refused, with its path")
    func unusable() throws {
        #expect(throws: SpoolError.notUsable(path: "/nowhere/spool", .notFound)) {
            try SpoolDirectory(path: "/nowhere/spool")
        }
        #expect(
            "\(SpoolError.notUsable(path: "/nowhere/spool", .notFound))" == "/nowhere/spool: No such file or directory")
        #expect(throws: SpoolError.self) { try SpoolDirectory(path: "/dev/null") }
    }

    @Test("leftovers of a kill between a file's creation and the loss of its name are removed at the start")
    func leftovers() throws {
        let path = try Self.directory()
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data().write(to: URL(filePath: "\(path)/oncegate-body-abc123"))
        try Data().write(to: URL(filePath: "\(path)/another"))
        _ = try SpoolDirectory(path: path, triesNameless: false)
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["another"])
    }

    @Test("the limit counts what is reserved, over all files")
    func limit() throws {
        let path = try Self.directory()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let spool = Spool(directory: try SpoolDirectory(path: path))
        #expect(spool.reserve(60, bytesMax: 100))
        #expect(!spool.reserve(41, bytesMax: 100))
        #expect(spool.reserve(40, bytesMax: 100))
        spool.release(60)
        #expect(spool.reservedBytes == 40)
        #expect(spool.reserve(60, bytesMax: 100))
    }
}
