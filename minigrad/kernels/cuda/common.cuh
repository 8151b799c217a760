// What every kernel uses: the types of numbers, loads and stores, and how an index is taken apart.
//
// The only header, and the only place that knows instructions of a GPU. The loader pastes it in front of each .cu file,
// because CuPy's cache of compiled kernels looks at the text of the source and not at what it includes. The same text is
// compiled by NVRTC for a GPU and by g++ for the emulator of the tests, which defines CUDAEMU.
#pragma once

typedef long long int64;

// ---- numbers -------------------------------------------------------------------------------------------------------

// Sixteen bits in memory, float32 in registers: everything is summed in float.
struct half {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};

// In what a T is summed.
template <class T> struct Sum {
    typedef T type;
};
template <> struct Sum<half> {
    typedef float type;
};
template <> struct Sum<bfloat16> {
    typedef float type;
};

template <class To, class From> __device__ __forceinline__ To bit_copy(From from) {
    static_assert(sizeof(To) == sizeof(From), "bit_copy keeps the size");
    union {
        From from;
        To to;
    } both;
    both.from = from;
    return both.to;
}

__device__ __forceinline__ float widen(float v) { return v; }
__device__ __forceinline__ double widen(double v) { return v; }
__device__ __forceinline__ float widen(bfloat16 v) { return bit_copy<float>((unsigned)v.bits << 16); }

__device__ __forceinline__ float widen(half v) {
#ifdef CUDAEMU
    return (float)bit_copy<_Float16>(v.bits);
#else
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(v.bits));
    return result;
#endif
}

template <class T> __device__ __forceinline__ T narrow(typename Sum<T>::type v) { return v; }

template <> __device__ __forceinline__ half narrow<half>(float v) {
#ifdef CUDAEMU
    return half{bit_copy<unsigned short>((_Float16)v)};
#else
    half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(v));
    return result;
#endif
}

// Rounds to the nearest, a tie to even; adding to the bits of a nan could carry it to infinity, so it is kept apart.
template <> __device__ __forceinline__ bfloat16 narrow<bfloat16>(float v) {
    unsigned bits = bit_copy<unsigned>(v);
    if (v != v) return bfloat16{(unsigned short)((bits >> 16) | 0x40)};
    return bfloat16{(unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

// Whether a < b. CuPy compiles with -ftz=true, under which an ordinary comparison takes float32 numbers below 1.2e-38
// for zero, so that they would tie; this one does not.
__device__ __forceinline__ bool below(double a, double b) { return a < b; }

__device__ __forceinline__ bool below(float a, float b) {
#ifdef CUDAEMU
    return a < b;
#else
    int result;
    asm("{.reg .pred p; setp.lt.f32 p, %1, %2; selp.s32 %0, 1, 0, p;}" : "=r"(result) : "f"(a), "f"(b));
    return result;
#endif
}

template <class T> __device__ __forceinline__ typename Sum<T>::type load(const T* p) { return widen(*p); }

// Every result goes to global memory through here, so that the emulator can count the writes of each element.
template <class T> __device__ __forceinline__ void put(T* p, T v) {
#ifdef CUDAEMU
    cudaemu::wrote(p, sizeof(T));
#endif
    *p = v;
}
template <class T> __device__ __forceinline__ void store(T* p, typename Sum<T>::type v) { put(p, narrow<T>(v)); }

// ---- elements -----------------------------------------------------------------------------------------------------

// A thread for each element, or for every so many of them where there are more than threads.
#define FOR_EACH(i, size)                                                                                              \
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < (size); i += (int64)gridDim.x * blockDim.x)

// ---- windows -------------------------------------------------------------------------------------------------------

// How windows lie over D spatial axes, as in minigrad/window.py; padding at the end follows from `out`.
template <int D> struct Window {
    int64 size[D], out[D], kernel[D], stride[D], low[D], dilation[D];
};

// Where an array (N, C, *spatial) has its elements; counted in elements, of any sign and order.
template <int D> struct Strides {
    int64 n, c, at[D];
};

// One index for several axes, row-major: the last axis runs fastest. Takes the last one off.
template <class I> __device__ __forceinline__ I take_last(I& index, int64 size) {
    I n = (I)size, last = index % n;
    index /= n;
    return last;
}

template <int D> __device__ __forceinline__ int64 volume(const int64 (&sizes)[D]) {
    int64 product = 1;
    for (int d = 0; d < D; ++d) product *= sizes[d];
    return product;
}
