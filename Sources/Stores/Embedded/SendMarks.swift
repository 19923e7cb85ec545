internal import Glibc
internal import Idempotency
internal import Synchronization

/// The mapped file that says of each open claim whether an octet of it may have been sent. Setting a mark is one atomic
/// operation in memory; the page survives kill -9, though not a power cut, which the boot id shows.
///
/// ```
/// offset  size
///      0     8  magic "OGMARKS1"
///      8     4  slot count, little endian like everything below
///     16    16  boot id, as /proc/sys/kernel/random/boot_id names it
///     32     8  owner: the random number of the process that wrote the slots
///   4096   8·n  slots: the epoch of the claim that holds the slot, with two flags
/// ```
/// Slots are given out on the storage queue; `markSent` comes from any thread.
final class SendMarks: @unchecked Sendable {
    // @unchecked: the mapping is written through atomics only, and unmapped after the last user is gone; `free` is
    // touched on the storage queue only.

    enum Mark: Equatable {
        /// The claim was given and nothing of it sent.
        case unsent
        case sent
        /// The service answered, and the answer could not be stored.
        case notStored
        /// The slot does not speak of this claim.
        case other
    }

    private static let headerBytes = 4096
    private static let magic: UInt64 = 0x3153_4B52_414D_474F
    private static let unsentFlag: UInt64 = 1 << 62
    private static let notStoredFlag: UInt64 = 1 << 63

    let slotCount: Int
    private let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private var free: [UInt32]

    /// Creates the file anew beside the old one and renames it over that.
    init(path: String, slotCount: Int, bootID: [UInt8], owner: UInt64) throws(StoreOpenError) {
        self.slotCount = slotCount
        byteCount = Self.headerBytes + slotCount * 8
        let temporary = path + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .inputOutput(path: temporary, cause: lastErrorText()) }
        defer { Glibc.close(descriptor) }
        // Space is taken up front: a hole that cannot be filled would be a SIGBUS on the request path.
        let failure = posix_fallocate(descriptor, 0, off_t(byteCount))
        guard failure == 0 else { throw .inputOutput(path: temporary, cause: errorText(failure)) }
        guard let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED
        else { throw .inputOutput(path: temporary, cause: lastErrorText()) }
        base = mapped
        base.storeBytes(of: UInt32(slotCount), toByteOffset: 8, as: UInt32.self)
        for index in 0..<16 { base.storeBytes(of: bootID[index], toByteOffset: 16 + index, as: UInt8.self) }
        base.storeBytes(of: owner, toByteOffset: 32, as: UInt64.self)
        base.storeBytes(of: Self.magic, toByteOffset: 0, as: UInt64.self)
        free = []
        free.reserveCapacity(slotCount)
        for slot in (0..<UInt32(slotCount)).reversed() { free.append(slot) }
        guard rename(temporary, path) == 0 else { throw .inputOutput(path: path, cause: lastErrorText()) }
    }

    deinit {
        munmap(base, byteCount)
    }

    /// A slot for a new claim, marked unsent; `.max` when none is left.
    func take(epoch: UInt64) -> UInt32 {
        guard let slot = free.popLast() else { return .max }
        cells[Int(slot)].store(epoch | Self.unsentFlag, ordering: .releasing)
        return slot
    }

    func giveBack(_ slot: UInt32) {
        guard Int(slot) < slotCount else { return }
        cells[Int(slot)].store(0, ordering: .releasing)
        free.append(slot)
    }

    /// Any thread. A claim that does not hold the slot any more changes nothing.
    func markSent(slot: UInt32, epoch: UInt64) {
        guard Int(slot) < slotCount else { return }
        _ = cells[Int(slot)].compareExchange(
            expected: epoch | Self.unsentFlag, desired: epoch, ordering: .sequentiallyConsistent)
    }

    func markNotStored(slot: UInt32, epoch: UInt64) {
        guard Int(slot) < slotCount else { return }
        cells[Int(slot)].store(epoch | Self.notStoredFlag, ordering: .releasing)
    }

    func mark(slot: UInt32, epoch: UInt64) -> Mark {
        guard Int(slot) < slotCount else { return .other }
        return Self.interpret(cells[Int(slot)].load(ordering: .acquiring), epoch: epoch)
    }

    private var cells: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + Self.headerBytes).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    private static func interpret(_ value: UInt64, epoch: UInt64) -> Mark {
        switch value {
        case epoch: .sent
        case epoch | unsentFlag: .unsent
        case epoch | notStoredFlag: .notStored
        default: .other
        }
    }
}

extension SendMarks {
    /// The marks that an earlier process left.
    struct Remains {
        private let octets: [UInt8]
        let owner: UInt64

        /// Nil unless the file is whole and was written since the machine started: without both, no mark proves
        /// anything.
        init?(path: String, bootID: [UInt8]) {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { return nil }
            defer { Glibc.close(descriptor) }
            guard let octets = readAll(descriptor, bytesMax: 64 << 20), octets.count >= SendMarks.headerBytes else {
                return nil
            }
            self.octets = octets
            owner = Self.word(octets, at: 32)
            let slots = Int(UInt32(truncatingIfNeeded: Self.word(octets, at: 8)))
            guard Self.word(octets, at: 0) == SendMarks.magic, octets.count == SendMarks.headerBytes + slots * 8,
                octets[16..<32].elementsEqual(bootID)
            else { return nil }
        }

        func mark(slot: UInt32, epoch: UInt64) -> Mark {
            let offset = SendMarks.headerBytes + Int(slot) * 8
            guard offset + 8 <= octets.count else { return .other }
            return SendMarks.interpret(Self.word(octets, at: offset), epoch: epoch)
        }

        private static func word(_ octets: [UInt8], at offset: Int) -> UInt64 {
            var value: UInt64 = 0
            for index in 0..<8 { value |= UInt64(octets[offset + index]) << UInt64(8 * index) }
            return value
        }
    }
}
