/** Everything that writes capture files. */
export { PcapWriter, type PcapWriterOptions } from './pcap-writer.ts'
export {
  type CaptureInterface,
  type CaptureStatistics,
  type CaptureTime,
  type PacketDetails,
  PcapngWriter,
  type PcapngWriterOptions,
} from './pcapng-writer.ts'
export { type CaptureSink, FileSink, MemorySink } from './sink.ts'
