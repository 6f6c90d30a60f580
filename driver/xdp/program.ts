import { Assembler, type Register, reg, type Width } from './asm.ts'

/**
 * The XDP program, and the key of its steering map. It redirects what the stack has asked for into the queue's AF_XDP
 * socket and passes everything else on to the kernel, so that every other port, ARP and ssh keep working.
 *
 * A key is 24 bytes: address (16, network order, IPv4 as ::ffff:a.b.c.d), port (2, network order), protocol (1), zero (1),
 * receive queue (4, host order). Protocol 6 steers a TCP port; port 0 with protocol 0 claims everything to the address,
 * ARP and neighbour discovery about it included, whoever says he has it too; the
 * all-nodes group claims router advertisements. What is neither plain TCP to a steered port nor to a claimed address
 * (ICMP errors, fragments and extension headers of the host's own addresses) is the kernel's. With the queue in the key, workers on several queues share the map without sharing an entry.
 * `EVERY_QUEUE` is looked up where the queue itself has no entry: such a frame goes to the socket of the queue that it came in on.
 * The value (4, host order) is what to do while the queue has no socket, `XDP_PASS` or `XDP_DROP`.
 */

export const STEERING_KEY_BYTES = 24
export const STEERING_VALUE_BYTES = 4

/** Queue number in a key that is for all of them. */
export const EVERY_QUEUE = 0xffff_ffff

const PROTOCOL_TCP = 6
/** Reserved by IANA. */
const PROTOCOL_NONE = 255
const PROTOCOL_ICMPV6 = 58
/** RFC 4861 4.2 to 4.4. */
const ROUTER_ADVERTISEMENT = 134
const NEIGHBOUR_SOLICITATION = 135
const NEIGHBOUR_ADVERTISEMENT = 136
const MULTICAST = 0xff

/** Key of an entry that says that somebody has opened the queue; the program looks nothing up under it. */
export function presenceKey(queue: number): Uint8Array {
  const key = new Uint8Array(STEERING_KEY_BYTES)
  key[18] = PROTOCOL_NONE
  new DataView(key.buffer).setUint32(20, queue, true)
  return key
}

/** Writes the key for a TCP port (host order) of an address (4 or 16 bytes), or, with port 0, for the whole address. */
export function steeringKey(address: Uint8Array, port: number, queue: number): Uint8Array {
  const key = new Uint8Array(STEERING_KEY_BYTES)
  if (address.length === 4) key.fill(0xff, 10, 12)
  key.set(address, 16 - address.length)
  key[16] = port >> 8
  key[17] = port & 0xff
  key[18] = port === 0 ? 0 : PROTOCOL_TCP
  new DataView(key.buffer).setUint32(20, queue, true)
  return key
}

// enum xdp_action, struct xdp_md, bpf-helpers(7)
export const XDP_DROP = 1
export const XDP_PASS = 2
const MD_DATA = 0
const MD_DATA_END = 4
const MD_RX_QUEUE_INDEX = 16
const HELPER_MAP_LOOKUP_ELEM = 1
const HELPER_REDIRECT_MAP = 51
const HELPER_XDP_LOAD_BYTES = 189

/** A 16-bit number in network order, as a little-endian load sees it. */
const be16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8)

const ETHERTYPE_IPV4 = 0x0800
const ETHERTYPE_ARP = 0x0806
const ETHERTYPE_IPV6 = 0x86dd
const ETHERTYPE_VLAN = 0x8100
const ETHERTYPE_QINQ = 0x88a8
/** More-fragments and fragment offset of the IPv4 header, not don't-fragment. */
const FRAGMENT_BITS = 0x3fff
/** Address lengths in ARP: 6 bytes, 4 bytes. */
const ARP_LENGTHS = 0x0604

const CTX: Register = 6
const DATA: Register = 7
const DATA_END: Register = 8
/** Bytes from the start of the frame to the header that is being read. */
const AT: Register = 9
const FRAME: Register = 10
const KEY = -24
const WINDOW = -64
/** The sender of an ARP packet, kept while the target is looked up. */
const SENDER = -72

/** How the program reads headers. Positions count from where the last `skip` has led. */
interface Reader {
  /** VLAN tags it can step over. */
  readonly tags: number
  /** Goes elsewhere when this EtherType is of a VLAN tag that it can't step over. */
  untagged(type: Register): void
  /** Goes elsewhere when the bytes are not there. Clobbers r0..r5. */
  need(bytes: number): void
  /** Loads from the bytes asked for last, before anything else touches r2. */
  load(width: Width, dst: Register, offset: number): void
  skip(bytes: number): void
  /** Where the reader is while assembling, and back there: for what two branches read. */
  mark(): number
  reset(mark: number): void
  /** Skips an IPv4 header of that many 32-bit words; leaves what was asked for readable. Clobbers the register. */
  skipHeader(words: Register): void
}

/**
 * Straight from the packet: plain frames with their headers in the linear part, the rest goes to `otherwise`. All
 * positions are constants, because the verifier grants arithmetic with variables on packet pointers only to
 * CAP_PERFMON, which nothing else here needs.
 */
function directReader(asm: Assembler, otherwise: string): Reader {
  let at = 0
  let base = 0
  return {
    tags: 0,
    untagged(type) {
      asm.jump('eq', type, be16(ETHERTYPE_VLAN), otherwise).jump('eq', type, be16(ETHERTYPE_QINQ), otherwise)
    },
    need(bytes) {
      base = at
      asm
        .mov(2, reg(DATA))
        .mov(3, reg(DATA))
        .alu('add', 3, at + bytes)
        .jump('gt', 3, reg(DATA_END), otherwise)
    },
    load(width, dst, offset) {
      asm.ldx(width, dst, 2, base + offset)
    },
    skip(bytes) {
      at += bytes
    },
    mark: () => at,
    reset(mark) {
      at = mark
    },
    skipHeader(words) {
      asm.jump('ne', words, 5, otherwise)
      at += 20
    },
  }
}

/** Through a helper that knows where the fragments are: slower, and takes every frame. */
function helperReader(asm: Assembler, otherwise: string): Reader {
  return {
    tags: 2,
    // A third tag is no EtherType that is looked for.
    untagged() {},
    need(bytes) {
      asm
        .mov(1, reg(CTX))
        .mov(2, reg(AT))
        .mov(3, reg(FRAME))
        .alu('add', 3, WINDOW)
        .mov(4, bytes)
        .call(HELPER_XDP_LOAD_BYTES)
        .jump('ne', 0, 0, otherwise)
    },
    load(width, dst, offset) {
      asm.ldx(width, dst, FRAME, WINDOW + offset)
    },
    skip(bytes) {
      asm.alu('add', AT, bytes)
    },
    // The position is in a register: each branch moves its own.
    mark: () => 0,
    reset() {},
    skipHeader(words) {
      asm.alu('lsh', words, 2).alu('add', AT, reg(words))
    },
  }
}

/** Reads the headers and fills in the key; leaves to `steered`, `claimed` or `pass`. Labels begin with `name`. */
function parse(asm: Assembler, read: Reader, name: string): void {
  read.need(14)
  read.load(2, 5, 12)
  read.skip(14)
  for (let tag = 1; tag <= read.tags; tag++) {
    asm
      .jump('eq', 5, be16(ETHERTYPE_VLAN), `${name} tag ${tag}`)
      .jump('ne', 5, be16(ETHERTYPE_QINQ), `${name} network`)
      .label(`${name} tag ${tag}`)
    read.need(4)
    read.load(2, 5, 2)
    read.skip(4)
  }
  asm.label(`${name} network`)
  const network = read.mark()
  read.untagged(5)
  asm
    .jump('eq', 5, be16(ETHERTYPE_IPV4), `${name} ipv4`)
    .jump('eq', 5, be16(ETHERTYPE_IPV6), `${name} ipv6`)
    .jump('ne', 5, be16(ETHERTYPE_ARP), 'pass')

  read.need(28)
  read.load(2, 3, 2)
  asm.jump('ne', 3, be16(ETHERTYPE_IPV4), 'pass')
  read.load(2, 3, 4)
  asm.jump('ne', 3, be16(ARP_LENGTHS), 'pass')
  read.load(4, 3, 24)
  asm.stx(4, FRAME, KEY + 12, 3)
  // In halves: the stack is read at multiples of the width only.
  read.load(2, 3, 14)
  read.load(2, 4, 16)
  asm
    .stx(2, FRAME, SENDER, 3)
    .stx(2, FRAME, SENDER + 2, 4)
    .goto('arp')

  asm.label(`${name} ipv4`)
  read.need(20)
  read.load(1, 1, 0)
  asm.mov(3, reg(1)).alu('rsh', 3, 4).jump('ne', 3, 4, 'pass').alu('and', 1, 15).jump('lt', 1, 5, 'pass')
  read.skipHeader(1)
  read.load(4, 3, 16)
  asm.stx(4, FRAME, KEY + 12, 3)
  read.load(2, 3, 6)
  asm.jump('set', 3, be16(FRAGMENT_BITS), 'claimed')
  read.load(1, 3, 9)
  asm.jump('ne', 3, PROTOCOL_TCP, 'claimed')
  read.need(4)
  read.load(2, 3, 2)
  asm.stx(2, FRAME, KEY + 16, 3).goto('steered')

  read.reset(network)
  parseIpv6(asm, read, name)
}

/** The same for IPv6, whose header comes next. */
function parseIpv6(asm: Assembler, read: Reader, name: string): void {
  const loadAddress = (offset: number): void => {
    for (let at = 0; at < 16; at += 4) {
      read.load(4, 3, offset + at)
      asm.stx(4, FRAME, KEY + at, 3)
    }
  }
  asm.label(`${name} ipv6`)
  read.need(40)
  read.load(1, 3, 0)
  asm.alu('rsh', 3, 4).jump('ne', 3, 6, 'pass')
  loadAddress(24)
  read.load(1, 5, 6)
  read.load(1, 3, 24)
  asm.jump('eq', 3, MULTICAST, `${name} group`).jump('ne', 5, PROTOCOL_TCP, 'claimed')
  const at = read.mark()
  read.skip(40)
  read.need(4)
  read.load(2, 3, 2)
  asm.stx(2, FRAME, KEY + 16, 3).goto('steered')

  // Who asks for the hardware address of an address does so at a group that several can share, and who has an address that
  // somebody tests says so to all: the target counts. What routers say is for the group.
  read.reset(at)
  asm.label(`${name} group`).jump('ne', 5, PROTOCOL_ICMPV6, 'pass')
  read.skip(40)
  // The shortest advertisement of a router is shorter than what has a target.
  read.need(16)
  read.load(1, 3, 0)
  asm.jump('eq', 3, ROUTER_ADVERTISEMENT, 'claimed')
  read.need(24)
  read.load(1, 3, 0)
  asm
    .jump('eq', 3, NEIGHBOUR_ADVERTISEMENT, `${name} target`)
    .jump('ne', 3, NEIGHBOUR_SOLICITATION, 'pass')
    .label(`${name} target`)
  loadAddress(8)
  asm.goto('claimed')
}

/**
 * The program as bpf(2) takes it.
 * @param steeringFd hash map of {@link steeringKey}
 * @param socketsFd xskmap, by receive queue
 * @param several whether it has more than one queue; with one, nothing is looked up for every queue (30 ns less for what is the
 * kernel's)
 */
export function buildProgram(steeringFd: number, socketsFd: number, several: boolean): Uint8Array {
  const asm = new Assembler()
  const find = (hit: string): void => {
    asm
      .loadMap(1, steeringFd)
      .mov(2, reg(FRAME))
      .alu('add', 2, KEY)
      .call(HELPER_MAP_LOOKUP_ELEM)
      .jump('ne', 0, 0, hit)
  }
  const lookup = (hit: string): void => {
    asm.ldx(4, 1, CTX, MD_RX_QUEUE_INDEX).stx(4, FRAME, KEY + 20, 1)
    find(hit)
    if (!several) return
    asm.st(4, FRAME, KEY + 20, EVERY_QUEUE | 0)
    find(hit)
  }

  asm
    .mov(CTX, reg(1))
    .ldx(4, DATA, CTX, MD_DATA)
    .ldx(4, DATA_END, CTX, MD_DATA_END)
    .st(8, FRAME, KEY, 0)
    .st(4, FRAME, KEY + 8, -0x10000)
    .st(4, FRAME, KEY + 16, PROTOCOL_TCP << 16)
    .st(4, FRAME, KEY + 20, 0)
  parse(asm, directReader(asm, 'general'), 'direct')
  asm.label('general').mov(AT, 0)
  parse(asm, helperReader(asm, 'pass'), 'helper')

  // RFC 5227 1.1: an address is in use where it is the sender's.
  asm.label('arp').st(4, FRAME, KEY + 16, 0)
  lookup('redirect')
  asm
    .ldx(4, 3, FRAME, SENDER)
    .stx(4, FRAME, KEY + 12, 3)
    .goto('claimed')

  asm.label('steered')
  lookup('redirect')
  asm.label('claimed').st(4, FRAME, KEY + 16, 0)
  lookup('redirect')
  asm.label('pass').mov(0, XDP_PASS).exit()

  // The flags say what to return when there is no socket on this queue.
  asm
    .label('redirect')
    .ldx(4, 3, 0, 0)
    .loadMap(1, socketsFd)
    .ldx(4, 2, CTX, MD_RX_QUEUE_INDEX)
    .call(HELPER_REDIRECT_MAP)
    .exit()
  return asm.assemble()
}
