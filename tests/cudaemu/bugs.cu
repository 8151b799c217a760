// Kernels for the tests of the emulator: healthy ones, which must give the right result in every order and under every
// sanitizer, and ones with a single deliberate bug each, which must be caught.

constexpr unsigned all_lanes = 0xffffffff;

// As in the project's own kernels, all stores to global memory go through one function, so that they can be counted.
template <class T>
__device__ __forceinline__ void store(T* pointer, T value) {
#ifdef CUDAEMU
  cudaemu::wrote(pointer, sizeof(T));
#endif
  *pointer = value;
}

// ---- healthy --------------------------------------------------------------------------------------------------------

// y[row] = the sum of x[row, :]; one block for each row.
template <class T>
__global__ void __launch_bounds__(256) row_sum(const T* __restrict__ x, T* __restrict__ y, long long columns) {
  __shared__ T of_warp[32];
  T sum = 0;
  for (long long i = threadIdx.x; i < columns; i += blockDim.x) {
    sum += x[blockIdx.x * columns + i];
  }
#pragma unroll
  for (int delta = 16; delta > 0; delta /= 2) {
    sum += __shfl_down_sync(all_lanes, sum, delta);
  }
  if (threadIdx.x % 32 == 0) {
    of_warp[threadIdx.x / 32] = sum;
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? of_warp[threadIdx.x] : T(0);
    for (int bits = 16; bits > 0; bits /= 2) {
      sum += __shfl_xor_sync(all_lanes, sum, bits);
    }
    if (threadIdx.x == 0) {
      store(&y[blockIdx.x], sum);
    }
  }
}

// y (columns, rows) = x (rows, columns) transposed, in tiles of 16 x 16.
template <class T>
__global__ void transpose(const T* __restrict__ x, T* __restrict__ y, int rows, int columns) {
  __shared__ T tile[16][17];
  const int row = blockIdx.y * 16 + threadIdx.y;
  const int column = blockIdx.x * 16 + threadIdx.x;
  if (row < rows && column < columns) {
    tile[threadIdx.y][threadIdx.x] = x[row * columns + column];
  }
  __syncthreads();
  const int to_row = blockIdx.x * 16 + threadIdx.y;
  const int to_column = blockIdx.y * 16 + threadIdx.x;
  if (to_row < columns && to_column < rows) {
    store(&y[to_row * rows + to_column], tile[threadIdx.x][threadIdx.y]);
  }
}

struct Sizes {
  int m, n, k;
};

// c (m, n) = a (m, k) @ b (k, n) in tiles of 8 x 8. Without the first barrier a thread reads what others have not yet
// written, without the second it overwrites what others still read.
template <class T, bool written_first, bool read_first>
__global__ void matmul(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c, Sizes sizes) {
  __shared__ T tile_a[8][8];
  __shared__ T tile_b[8][8];
  const int row = blockIdx.y * 8 + threadIdx.y;
  const int column = blockIdx.x * 8 + threadIdx.x;
  T sum = 0;
  for (int start = 0; start < sizes.k; start += 8) {
    const int k_of_a = start + threadIdx.x;
    const int k_of_b = start + threadIdx.y;
    tile_a[threadIdx.y][threadIdx.x] = row < sizes.m && k_of_a < sizes.k ? a[row * sizes.k + k_of_a] : T(0);
    tile_b[threadIdx.y][threadIdx.x] = k_of_b < sizes.k && column < sizes.n ? b[k_of_b * sizes.n + column] : T(0);
    if (written_first) {
      __syncthreads();
    }
    for (int i = 0; i < 8; ++i) {
      sum += tile_a[threadIdx.y][i] * tile_b[i][threadIdx.x];
    }
    if (read_first) {
      __syncthreads();
    }
  }
  if (row < sizes.m && column < sizes.n) {
    store(&c[row * sizes.n + column], sum);
  }
}

// y[i] = x[n - 1 - i] through dynamic shared memory; one block.
extern "C" __global__ void reverse(const float* x, float* y) {
  extern __shared__ __align__(16) float values[];
  values[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  store(&y[threadIdx.x], values[blockDim.x - 1 - threadIdx.x]);
}

__constant__ int powers_of_ten[4] = {1, 10, 100, 1000};

// Where each thread is, in a grid and a block of three axes: digits of x, y, z of the block, then of the thread.
extern "C" __global__ void places(int* y) {
  const dim3 grid = gridDim;
  const int block = blockIdx.x + grid.x * (blockIdx.y + grid.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int digits = threadIdx.x + powers_of_ten[1] * threadIdx.y + powers_of_ten[2] * threadIdx.z;
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  store(&y[block * threads + thread],
        powers_of_ten[3] * static_cast<int>(blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z) + digits);
}

// Every warp operation, one warp: y (8, 32).
extern "C" __global__ void warp_operations(int* y) {
  const int lane = threadIdx.x;
  const unsigned half = lane < 16 ? 0x0000ffff : 0xffff0000;
  store(&y[lane], __shfl_sync(all_lanes, lane, lane + 5));
  store(&y[32 + lane], __shfl_up_sync(all_lanes, lane, 3));
  store(&y[64 + lane], __shfl_down_sync(all_lanes, lane, 3, 8));
  store(&y[96 + lane], __shfl_xor_sync(half, lane, 1));
  store(&y[128 + lane], static_cast<int>(__ballot_sync(all_lanes, lane % 3 == 0)));
  store(&y[160 + lane], __any_sync(half, lane == 3) + 2 * __all_sync(half, lane < 16));
  __syncwarp();
  __syncwarp(half);
  store(&y[192 + lane], __popc(half) + __ffs(8) + __clz(1));
  store(&y[224 + lane], __float_as_int(fmaxf(1.0f, max(__int_as_float(0x7fc00000), 0.5f))));
}

// y[lane] = the lane that is half a warp and one place away, passed on through shared memory: first inside each half of
// the warp, which synchronizes alone, then between the halves. One warp.
extern "C" __global__ void pass_on(int* y) {
  __shared__ int values[32];
  const int lane = threadIdx.x;
  const unsigned half = lane < 16 ? 0x0000ffff : 0xffff0000;
  values[lane] = lane;
  __syncwarp(half);
  const int neighbour = values[lane ^ 1];
  __syncwarp(half);
  if (lane < 16) {  // one half meets once more than the other
    values[lane] = -1;
    __syncwarp(0x0000ffff);
  }
  values[lane] = neighbour;
  __syncwarp();
  store(&y[lane], values[lane ^ 16]);
}

// Lanes that have returned are not waited for, and what is read from one is undefined: here NaN.
extern "C" __global__ void exited_lanes(float* y) {
  if (threadIdx.x >= 24) {
    return;
  }
  store(&y[threadIdx.x], __shfl_sync(all_lanes, static_cast<float>(threadIdx.x), 31 - threadIdx.x));
}

// The arguments as they arrive. A null pointer for `y` is allowed.
struct Mixed {
  double d;
  int i;
  float4 f;
};
extern "C" __global__ void arguments(float* y, bool flag, signed char i8, unsigned short u16, int i32, long long i64,
                                     float f32, double f64, Mixed mixed) {
  if (y == nullptr) {
    return;
  }
  const double values[] = {double(flag), double(i8), double(u16),     double(i32), double(i64), double(f32),
                           f64,          mixed.d,    double(mixed.i), mixed.f.x,   mixed.f.w};
  for (int i = 0; i < 11; ++i) {
    store(&y[i], static_cast<float>(values[i]));
  }
}

// counts[x[i]] += 1, sums[x[i]] += weights[i]
extern "C" __global__ void histogram(const int* x, int* counts, float* sums, const float* weights) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&counts[__ldg(&x[i])], 1);
  atomicAdd(&sums[x[i]], weights[i]);
}

// ---- bugs -----------------------------------------------------------------------------------------------------------

// One block more than needed, and no guard: writes behind the end.
extern "C" __global__ void writes_beyond(float* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = 1; }

// Reads one element behind the end.
extern "C" __global__ void reads_beyond(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }

extern "C" __global__ void beyond_shared(float* y) {
  __shared__ float values[32];
  values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = values[threadIdx.x + 1];
}

// The same through a pointer, where the compiler does not know the array's size.
extern "C" __global__ void beyond_shared_by_pointer(float* y) {
  __shared__ float values[32];
  float* volatile pointer = values;
  pointer[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = pointer[threadIdx.x + 1];
}

extern "C" __global__ void beyond_dynamic_shared(float* y) {
  extern __shared__ float values[];
  values[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = values[threadIdx.x + 1];
}

// Reads four floats from an address that four floats cannot have.
extern "C" __global__ void misaligned(const float* x, float* y) {
  y[threadIdx.x] = reinterpret_cast<const float4*>(x + 1)->y;
}

// An index of 32 bits that does not suffice.
extern "C" __global__ void overflows(int rows, int columns, long long* y) { *y = rows * columns; }

// Shared memory that nobody has written.
extern "C" __global__ void never_initialized(float* y) {
  __shared__ float values[32];
  if (threadIdx.x < 16) {
    values[threadIdx.x] = 0;
  }
  __syncthreads();
  y[threadIdx.x] = values[threadIdx.x];
}

extern "C" __global__ void never_initialized_dynamic(float* y) {
  extern __shared__ float values[];
  y[threadIdx.x] = values[threadIdx.x];
}

// Takes for granted that a warp writes at the same time, without __syncwarp.
extern "C" __global__ void without_syncwarp(float* y) {
  __shared__ float values[32];
  values[threadIdx.x] = threadIdx.x;
  y[threadIdx.x] = values[31 - threadIdx.x];
}

extern "C" __global__ void divergent_barrier(float* y) {
  if (threadIdx.x < 32) {
    y[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
    y[threadIdx.x] = 2;
  }
}

extern "C" __global__ void early_exit(float* y) {
  if (threadIdx.x >= 48) {
    return;
  }
  __syncthreads();
  y[threadIdx.x] = 1;
}

// Half of a warp shuffles with all of it, the other half has gone on to the barrier.
extern "C" __global__ void partial_shuffle(float* y) {
  float value = threadIdx.x;
  if (threadIdx.x < 16) {
    value = __shfl_xor_sync(all_lanes, value, 1);
  }
  __syncthreads();
  y[threadIdx.x] = value;
}

extern "C" __global__ void outside_its_mask(int* y) { y[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 0); }

extern "C" __global__ void traps(int* y) {
  if (y != nullptr) {
    __trap();
  }
}

// Blocks overlap by one element, which two of them write.
extern "C" __global__ void writes_twice(float* y) { store(&y[blockIdx.x * (blockDim.x - 1) + threadIdx.x], 1.0f); }

// The last element of each block is left out.
extern "C" __global__ void leaves_out(float* y) {
  if (threadIdx.x < blockDim.x - 1) {
    store(&y[blockIdx.x * blockDim.x + threadIdx.x], 1.0f);
  }
}

// Stores past the function that counts.
extern "C" __global__ void unreported(float* y) { y[threadIdx.x] = 1; }

// Each block adds to what the one before has left, as if blocks ran in a known order.
extern "C" __global__ void depends_on_blocks(float* y) {
  const float before = blockIdx.x > 0 ? y[blockIdx.x - 1] : 0.0f;
  store(&y[blockIdx.x], before + 1);
}

// More local variables than a thread of the emulator has room for.
extern "C" __global__ void large_locals(float* y) {
  volatile float local[17000];
  for (int i = 0; i < 17000; ++i) {
    local[i] = 1;
  }
  y[0] = local[5];
}
