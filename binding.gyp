{
  "targets": [
    {
      "target_name": "zcrx",
      "sources": [
        "driver/native/addon.cc",
        "driver/native/bpf.cc",
        "driver/native/bulk.cc",
        "driver/native/checksum.cc",
        "driver/native/guard.cc",
        "driver/native/link.cc",
        "driver/native/memory.cc",
        "driver/native/netlink.cc",
        "driver/native/older.cc",
        "driver/native/packet.cc",
        "driver/native/poll.cc",
        "driver/native/sockets.cc",
        "driver/native/tap.cc",
        "driver/native/uring.cc",
        "driver/native/xsk.cc"
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "defines": ["NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "_GNU_SOURCE"],
      "cflags_cc": ["-std=c++17", "-O3", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"]
    }
  ]
}
