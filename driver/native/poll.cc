// Waiting for a descriptor: poll(2) on the spot, or a callback from the event loop, once or as often as it is readable.
#include "addon.h"

#include <poll.h>
#include <time.h>
#include <uv.h>

namespace zcrx {
namespace {

// Returns revents, 0 when the time is over or a signal came. fd -1 sleeps. Microseconds matter to a stack's timers, so
// ppoll, not poll.
Napi::Value Poll(const Napi::CallbackInfo& info) {
  pollfd entry = {};
  entry.fd = static_cast<int>(Integer(info, 0, "fd", -1, 2147483647.0));
  entry.events = static_cast<int16_t>(Integer(info, 1, "events", 0, 32767));
  if (info.Length() < 3 || !info[2].IsNumber()) Wrong(info, "timeoutMs", "a number");
  const double ms = info[2].As<Napi::Number>().DoubleValue();
  if (std::isnan(ms)) Wrong(info, "timeoutMs", "a number");
  timespec timeout = {};
  const bool forever = ms >= 1e12;
  if (ms > 0 && !forever) {
    timeout.tv_sec = static_cast<time_t>(ms / 1000);
    timeout.tv_nsec = static_cast<long>((ms - static_cast<double>(timeout.tv_sec) * 1000) * 1e6);
  }
  const int ready = ppoll(&entry, 1, forever ? nullptr : &timeout, nullptr);
  if (ready < 0 && errno != EINTR) return Result(info.Env(), -1);
  return Result(info.Env(), ready > 0 ? entry.revents : 0);
}

// The uv handle outlives the JavaScript object: libuv gives it back only after a turn of the loop.
struct Handle {
  uv_poll_t poll;
  Handle** owner = nullptr;  // the pointer of the JavaScript object; cleared when the handle closes before it
  napi_env env = nullptr;
  napi_async_context context = nullptr;
  napi_ref callback = nullptr;
  napi_async_cleanup_hook_handle hook = nullptr;
  bool closing = false;
  bool repeat = false;

  void Forget() {
    if (callback != nullptr) napi_delete_reference(env, callback);
    callback = nullptr;
  }

  void Close() {
    if (closing) return;
    closing = true;
    *owner = nullptr;
    Forget();
    napi_async_destroy(env, context);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll), [](uv_handle_t* closed) {
      Handle* self = static_cast<Handle*>(closed->data);
      napi_remove_async_cleanup_hook(self->hook);
      delete self;
    });
  }

  void Fire() {
    // Stopping and starting again costs system calls: who goes on listening says so.
    if (!repeat) uv_poll_stop(&poll);
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value function, receiver, result;
    napi_get_reference_value(env, callback, &function);
    if (!repeat) Forget();
    napi_get_global(env, &receiver);
    // An exception in the callback is the program's: it ends up as uncaughtException.
    if (napi_make_callback(env, context, receiver, function, 0, nullptr, &result) == napi_pending_exception) {
      napi_value error;
      napi_get_and_clear_last_exception(env, &error);
      napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
  }
};

class Watcher : public Napi::ObjectWrap<Watcher> {
 public:
  static void Define(Napi::Env env, Napi::Object exports) {
    exports.Set("Watcher", DefineClass(env, "Watcher",
                                       {InstanceMethod("start", &Watcher::Start), InstanceMethod("stop", &Watcher::Stop),
                                        InstanceMethod("unref", &Watcher::Unref), InstanceMethod("close", &Watcher::Close)}));
  }

  explicit Watcher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Watcher>(info) {
    const int fd = Fd(info, 0);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(info.Env(), &loop);
    Handle* handle = new Handle();
    const int status = uv_poll_init(loop, &handle->poll, fd);
    if (status < 0) {
      delete handle;
      throw Napi::TypeError::New(info.Env(), "fd can't be watched");
    }
    handle->poll.data = handle;
    handle->env = info.Env();
    napi_async_init(info.Env(), nullptr, Napi::String::New(info.Env(), "ZCRX_WATCHER"), &handle->context);
    // At the end of a worker thread the loop has to let go of the handle before it is destroyed.
    napi_add_async_cleanup_hook(
        info.Env(), [](napi_async_cleanup_hook_handle, void* data) { static_cast<Handle*>(data)->Close(); }, handle,
        &handle->hook);
    handle->owner = &handle_;
    handle_ = handle;
  }

  // Runs in a finalizer, which may not touch JavaScript. Not armed at this point: an armed handle keeps its callback,
  // and through it whoever owns this object.
  ~Watcher() override {
    if (handle_ != nullptr) handle_->Close();
  }

 private:
  Handle* handle_ = nullptr;

  Napi::Value Start(const Napi::CallbackInfo& info) {
    if (info.Length() < 1 || !info[0].IsFunction()) Wrong(info, "callback", "a function");
    if (handle_ == nullptr) return Napi::Number::New(info.Env(), -EBADF);
    handle_->repeat = Flag(info, 1, "repeat");
    handle_->Forget();
    napi_create_reference(info.Env(), info[0], 1, &handle_->callback);
    return Napi::Number::New(info.Env(), uv_poll_start(&handle_->poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
                               static_cast<Handle*>(poll->data)->Fire();
                             }));
  }

  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (handle_ != nullptr) {
      uv_poll_stop(&handle_->poll);
      handle_->Forget();
    }
    return info.Env().Undefined();
  }

  Napi::Value Unref(const Napi::CallbackInfo& info) {
    if (handle_ != nullptr) uv_unref(reinterpret_cast<uv_handle_t*>(&handle_->poll));
    return info.Env().Undefined();
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (handle_ != nullptr) handle_->Close();
    return info.Env().Undefined();
  }
};

}  // namespace

void InitPoll(Napi::Env env, Napi::Object exports) {
  exports.Set("poll", Napi::Function::New(env, Poll, "poll"));
  Watcher::Define(env, exports);
}

}  // namespace zcrx
