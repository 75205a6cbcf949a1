#pragma once

// What a model is trained to make small.

#include "nn/cross_entropy.hpp"
#include "nn/difference_loss.hpp"
#include "nn/nll.hpp"
#include "nn/probability_loss.hpp"
